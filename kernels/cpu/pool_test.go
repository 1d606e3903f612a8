package cpu

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// taskFunc is a task for tests.
type taskFunc func(worker, chunk int)

func (f taskFunc) run(worker, chunk int) { f(worker, chunk) }

func TestPoolRunsEveryChunkOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		p := newPool(workers)
		for round := range 300 {
			n := 1 + round%17
			done := make([]atomic.Int32, n)
			busy := make([]atomic.Int32, workers) // two chunks at once on one worker would share its scratch
			err := p.run(n, taskFunc(func(w, c int) {
				if busy[w].Add(1) != 1 {
					t.Errorf("worker %d of %d runs two chunks at once", w, workers)
				}
				done[c].Add(1)
				busy[w].Add(-1)
			}))
			if err != nil {
				t.Fatal(err)
			}
			for c := range done {
				if got := done[c].Load(); got != 1 {
					t.Fatalf("%d workers, round %d: chunk %d of %d ran %d times", workers, round, c, n, got)
				}
			}
			if round%50 == 0 {
				time.Sleep(2 * spin) // some rounds find the workers parked
			}
		}
		p.close()
	}
}

// Every worker takes part: chunks that wait for each other end.
func TestPoolWorkersRunTogether(t *testing.T) {
	const workers = 4
	p := newPool(workers)
	defer p.close()
	for range 20 {
		var here atomic.Int32
		p.run(workers, taskFunc(func(w, c int) {
			here.Add(1)
			for here.Load() < workers {
				runtime.Gosched()
			}
		}))
		time.Sleep(2 * spin)
	}
}

func TestPoolPanic(t *testing.T) {
	p := newPool(3)
	defer p.close()
	var done atomic.Int32
	got := func() (v any) {
		defer func() { v = recover() }()
		p.run(20, taskFunc(func(w, c int) {
			done.Add(1)
			if c == 7 {
				panic("chunk 7")
			}
		}))
		return nil
	}()
	if got != "chunk 7" || done.Load() != 20 {
		t.Errorf("panic %v after %d chunks, want chunk 7 after 20", got, done.Load())
	}
	if err := p.run(5, taskFunc(func(w, c int) { done.Add(1) })); err != nil || done.Load() != 25 {
		t.Errorf("after a panic: %v, %d chunks in all, want 25", err, done.Load())
	}
}

func TestPoolFault(t *testing.T) {
	p := newPool(2)
	defer p.close()
	last := &guardedOf[uint8](t, 1)[0]
	var sink byte
	err := p.run(4, taskFunc(func(w, c int) {
		if c == 2 {
			sink = *(*byte)(unsafe.Add(unsafe.Pointer(last), 1))
		}
	}))
	if !errors.Is(err, ErrFault) {
		t.Errorf("reading a page that may not be read: %v, want %v (%d)", err, ErrFault, sink)
	}
}

// A closed pool leaves no goroutine.
func TestPoolClose(t *testing.T) {
	before := runtime.NumGoroutine()
	p := newPool(6)
	p.run(3, taskFunc(func(w, c int) {}))
	p.close()
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines after close, %d before", after, before)
	}
}

type sumTask struct{ sums [8]int }

func (s *sumTask) run(worker, chunk int) { s.sums[worker] += chunk }

func TestPoolAllocatesNothing(t *testing.T) {
	p := newPool(3)
	defer p.close()
	s := new(sumTask)
	if n := testing.AllocsPerRun(200, func() { p.run(16, s) }); n != 0 {
		t.Errorf("%v allocations a run, want 0", n)
	}
}

func BenchmarkPool(b *testing.B) {
	p := newPool(runtime.GOMAXPROCS(0))
	defer p.close()
	s := new(sumTask)
	for b.Loop() {
		p.run(8, s)
	}
}
