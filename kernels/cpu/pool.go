package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// task is an operator cut in chunks that do not depend on each other. worker
// numbers the thread, 0 <= worker < workers, for scratch memory.
type task interface {
	run(worker, chunk int)
}

// ErrFault means that memory could not be read under an operator: a model file
// was truncated, or its disk failed, while it was mapped.
var ErrFault = errors.New("cpu: memory fault: was a mapped model file truncated or its disk lost?")

// pool is a fixed set of workers that share the chunks of one task after another.
// The caller of run is worker 0. Between tasks workers spin for a moment, since a
// model's operators follow each other within microseconds, and then park.
type pool struct {
	workers int
	task    task
	chunks  int64
	next    atomic.Int64 // chunks handed out
	busy    atomic.Int64 // workers still at the current task
	round   atomic.Int64 // number of tasks begun; -1 when closed
	parked  atomic.Int64
	mu      sync.Mutex
	wake    *sync.Cond
	failure atomic.Pointer[failure]
	done    sync.WaitGroup
}

// failure is what a worker's panic leaves.
type failure struct{ value any }

const spin = 60 * time.Microsecond

func newPool(workers int) *pool {
	p := &pool{workers: workers}
	p.wake = sync.NewCond(&p.mu)
	for w := 1; w < workers; w++ {
		p.done.Go(func() { p.work(w) })
	}
	return p
}

func (p *pool) close() {
	p.mu.Lock()
	p.round.Store(-1)
	p.wake.Broadcast()
	p.mu.Unlock()
	p.done.Wait()
}

// run does chunks 0..n-1 of t. A memory fault comes back as ErrFault; any other
// panic goes on in the caller.
func (p *pool) run(n int, t task) error {
	p.task, p.chunks = t, int64(n)
	p.next.Store(0)
	if n > 1 && p.workers > 1 {
		p.busy.Store(int64(p.workers - 1))
		p.round.Add(1)
		if p.parked.Load() > 0 {
			p.mu.Lock()
			p.wake.Broadcast()
			p.mu.Unlock()
		}
		p.chunksOf(0)
		for i := 0; p.busy.Load() > 0; i++ {
			if i%256 == 255 {
				runtime.Gosched()
			}
		}
	} else {
		p.chunksOf(0)
	}
	p.task = nil
	if f := p.failure.Swap(nil); f != nil {
		if _, fault := f.value.(interface{ Addr() uintptr }); fault {
			return fmt.Errorf("%w (%v)", ErrFault, f.value)
		}
		panic(f.value)
	}
	return nil
}

// work is the life of worker w.
func (p *pool) work(w int) {
	for seen := int64(0); ; {
		seen = p.await(seen)
		if seen < 0 {
			return
		}
		p.chunksOf(w)
		p.busy.Add(-1)
	}
}

// await returns the round after seen, once it has begun.
func (p *pool) await(seen int64) int64 {
	var start time.Time
	for i := 0; ; i++ {
		if r := p.round.Load(); r != seen {
			return r
		}
		if i%256 != 255 {
			continue
		}
		if start.IsZero() {
			start = time.Now()
		} else if time.Since(start) > spin {
			break
		}
		runtime.Gosched()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parked.Add(1)
	defer p.parked.Add(-1)
	for p.round.Load() == seen {
		p.wake.Wait()
	}
	return p.round.Load()
}

// chunksOf does chunks until none is left.
func (p *pool) chunksOf(w int) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			p.failure.CompareAndSwap(nil, &failure{v})
		}
	}()
	for c := p.next.Add(1) - 1; c < p.chunks; c = p.next.Add(1) - 1 {
		p.task.run(w, int(c))
	}
}
