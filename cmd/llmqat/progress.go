package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"
)

// progress returns a callback that draws a bar with the time left on standard
// error, and what ends it; where that is no terminal both do nothing.
func progress(what string) (step func(done, total int64), end func()) {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int64, int64) {}, func() {}
	}
	var mu sync.Mutex
	var bar *progressbar.ProgressBar
	var last int64
	step = func(done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(os.Stderr),
				progressbar.OptionSetDescription(what), progressbar.OptionSetPredictTime(true),
				progressbar.OptionThrottle(100e6), progressbar.OptionClearOnFinish())
		}
		if done > last { // callbacks of several goroutines may cross
			last = done
			bar.Set64(done)
		}
	}
	return step, func() {
		if bar != nil {
			bar.Clear()
		}
	}
}

// size prints bytes as people read them.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d bytes", n)
}

// wrote reports a finished file on standard error.
func wrote(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %s, %s\n", path, size(info.Size()))
	return nil
}
