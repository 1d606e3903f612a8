package bench

import "time"

// mostRuns is the most runs of a burst: their launches are few enough to be given to the
// GPU together, and to become one graph.
const mostRuns = 512

// sampleBursts measures op once on a device that queues: bursts of the same runs, until
// leastMicro is reached. The device makes a graph of what comes again, in which kernels
// follow each other as they do in a model, and the host waits once a burst: about 20 µs,
// which are 2 % of the shortest bursts.
func (op *operator) sampleBursts(dev gauged) (err error) {
	burst := func() (took time.Duration) {
		if err != nil {
			return leastMicro
		}
		start := time.Now()
		for i := 0; i < op.n && err == nil; i++ {
			err = op.run(i)
		}
		if failed := dev.Sync(); err == nil {
			err = failed
		}
		return time.Since(start)
	}
	if op.n == 0 {
		op.n = 1
		burst() // loads the kernels
		for burst() < leastMicro && op.n < mostRuns {
			op.n *= 2
		}
	}
	burst() // since other operators ran
	burst() // makes the graph
	took, runs := time.Duration(0), 0
	for took < leastMicro {
		took, runs = took+burst(), runs+op.n
	}
	op.All = append(op.All, took.Seconds()/float64(runs))
	return err
}
