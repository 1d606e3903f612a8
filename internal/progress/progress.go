// Package progress tells how far something has come and how long it will take: by a
// bar on a terminal, by lines in a log.
package progress

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar returns a callback that draws how far something has come on w, which it
// takes from several goroutines and in any order, and what ends the bar. Where w
// is no terminal both do nothing.
func Bar(w io.Writer, what string) (step func(done, total int64), end func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int64, int64) {}, func() {}
	}
	var mu sync.Mutex
	var bar *progressbar.ProgressBar
	var last int64
	step = func(done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(what),
				progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		if done > last {
			last = done
			bar.Set64(done)
		}
	}
	return step, func() {
		mu.Lock()
		defer mu.Unlock()
		if bar != nil {
			bar.Clear()
		}
	}
}

// Every returns a callback that is told how far something has come, and reports it,
// with the time left at the pace so far, once an interval and not at the end: of what
// takes less there is nothing to read.
func Every(interval time.Duration, report func(done, total int64, left time.Duration)) func(done, total int64) {
	start := time.Now()
	next := start.Add(interval)
	return func(done, total int64) {
		now := time.Now()
		if done <= 0 || done >= total || now.Before(next) {
			return
		}
		next = now.Add(interval)
		report(done, total, time.Duration(float64(now.Sub(start))*float64(total-done)/float64(done)))
	}
}
