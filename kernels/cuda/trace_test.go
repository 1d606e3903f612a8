//go:build cuda

package cuda

import (
	"slices"
	"testing"
	"time"
)

// TestTrace: every kernel is named, in order, with a time of its own and none of the wait
// before it, which lasts 60 µs or more here; the work is done, and no graph runs.
func TestTrace(t *testing.T) {
	d := newTestDevice(t)
	c := &counting{driver: d.driver}
	d.driver = c
	g := newGathering(t, d, 2, 1)
	var names []string
	var times []time.Duration
	d.Trace(func(kernel string, took time.Duration) { names, times = append(names, kernel), append(times, took) })
	for range 3 {
		for range graphLen {
			g.run(d)
		}
		d.launch("wait_ns", shape{ctas: [3]uint32{1, 1, 1}, threads: 1}, uint64(3*time.Millisecond))
		g.check(t, d, 2, 1)
	}
	want := slices.Repeat(append(slices.Repeat([]string{"gather"}, graphLen), "wait_ns"), 3)
	if !slices.Equal(names, want) {
		t.Errorf("kernels %q, want %q", names, want)
	}
	for i, took := range times {
		if wait := want[i] == "wait_ns"; took <= 0 || wait && took < 3*time.Millisecond {
			t.Errorf("%d, %s: %v", i, want[i], took)
		}
	}
	if c.graphs > 0 || c.captures > 0 {
		t.Errorf("%d graphs of %d captures", c.graphs, c.captures)
	}
	d.Trace(nil)
	for range 3 {
		for range graphLen {
			g.run(d)
		}
		g.check(t, d, 2, 1)
	}
	if len(names) != len(want) || c.graphs != 2 {
		t.Errorf("%d kernels, then %d graphs; want %d and 2", len(names), c.graphs, len(want))
	}
}

func TestTraceFails(t *testing.T) {
	for _, call := range []string{"cuEventCreate", "cuEventRecord", "cuLaunchKernel", "cuStreamSynchronize", "cuEventElapsedTime"} {
		d, inject := fake(t)
		g := newGathering(t, d, 2)
		d.Trace(func(string, time.Duration) { t.Errorf("%s failed, and a time came", call) })
		inject(call + "=1@1")
		g.run(d)
		want(t, d.Sync(), "cuda: timing of launches: invalid argument")
		inject("")
		d.Trace(nil)
		g.run(d)
		g.check(t, d, 2)
		d.Close()
	}
}
