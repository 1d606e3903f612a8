package ptq

import (
	"runtime"
	"sync"
)

func threads() int { return runtime.GOMAXPROCS(0) }

// parallel calls f with spans of 0..n-1, per in each, several at a time. Spans are the
// same on any number of threads, and write to different memory.
func parallel(n, per int, f func(from, to int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(threads(), (n+per-1)/per) {
		wg.Go(func() {
			for from := range next {
				f(from, min(from+per, n))
			}
		})
	}
	for from := 0; from < n; from += per {
		next <- from
	}
	close(next)
	wg.Wait()
}
