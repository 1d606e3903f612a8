// Package pace times loops that measure what a machine allows.
package pace

import "time"

// least is what a repetition lasts at least: the clock and a few interrupts do not show.
const least = 20 * time.Millisecond

// Best returns the seconds that run(n) takes for each of n: the best of a few repetitions
// of 20 ms or more. It ends with run's first error.
func Best(run func(n int) error) (seconds float64, err error) {
	timed := func(n int) (took time.Duration) {
		start := time.Now()
		if err == nil {
			err = run(n)
		}
		return time.Since(start)
	}
	n := 1
	for err == nil && timed(n) < least {
		n *= 2
	}
	best := timed(n)
	for range 4 {
		best = min(best, timed(n))
	}
	return best.Seconds() / float64(n), err
}
