package cpu

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmqat/llmqat/kernels"
)

// task is an operator cut in chunks that do not depend on each other. worker
// numbers the thread, 0 <= worker < workers, for scratch memory.
type task interface {
	run(worker, chunk int)
}

// ErrFault is kernels.ErrFault under an operator.
var ErrFault = fmt.Errorf("cpu: %w", kernels.ErrFault)

// pool is a fixed set of workers that share the chunks of one task after another.
// The caller of run is worker 0. Each worker has a range of chunks that follow each
// other, the same for tasks of one size: it streams through memory, which it asks for
// ahead, and finds what its caches and its node hold. Chunks are claimed one by one,
// and who has done with its own takes from others' ends: a worker that the system
// keeps from its core delays nothing but the chunk it holds, and none if it has not
// come yet. Between tasks workers spin for a moment, since a model's
// operators follow each other within microseconds, and then park; so does the
// caller while others finish.
type pool struct {
	workers int

	// task and chunks may be read by whoever holds a claimed chunk: the round cannot
	// end before that.
	task   task
	ranges []chunkRange  // of each worker
	round  atomic.Uint64 // counts those whose ranges are set
	left   atomic.Int64  // chunks not yet finished

	failure atomic.Pointer[failure]
	closed  atomic.Bool
	parked  atomic.Int64 // workers and callers asleep, or about to be
	mu      sync.Mutex
	wake    *sync.Cond // a round began, ended, or the pool was closed
	done    sync.WaitGroup
}

// chunkRange is the chunks of one worker that nobody has claimed: from in the high and
// to in the low 32 bits, alone on its cache lines.
type chunkRange struct {
	atomic.Uint64
	_ [120]byte
}

func (r *chunkRange) empty() bool {
	v := r.Load()
	return v>>32 >= v&math.MaxUint32
}

// claim takes the first chunk, or for others the last.
func (r *chunkRange) claim(first bool) (chunk int, ok bool) {
	for {
		v := r.Load()
		from, to := v>>32, v&math.MaxUint32
		if from >= to {
			return 0, false
		}
		taken, next := from, (from+1)<<32|to
		if !first {
			taken, next = to-1, from<<32|(to-1)
		}
		if r.CompareAndSwap(v, next) {
			return int(taken), true
		}
	}
}

// failure is what a task's panic leaves.
type failure struct{ value any }

// spin is how long a thread looks for work before it parks: the operators of a
// token follow each other faster, and waking a thread costs as much.
const spin = 60 * time.Microsecond

func newPool(workers int) *pool {
	p := &pool{workers: workers, ranges: make([]chunkRange, workers)}
	p.wake = sync.NewCond(&p.mu)
	for w := 1; w < workers; w++ {
		p.done.Go(func() { p.work(w) })
	}
	return p
}

// close ends the workers. No run is under way or follows.
func (p *pool) close() {
	p.closed.Store(true)
	p.signal()
	p.done.Wait()
}

// run does chunks 0..n-1 of t, 0 < n < 2³², and returns when all are done. A memory
// fault comes back as ErrFault; any other panic goes on in the caller.
func (p *pool) run(n int, t task) error {
	p.task = t
	p.left.Store(int64(n))
	for w := range p.ranges {
		p.ranges[w].Store(uint64(w*n/p.workers)<<32 | uint64((w+1)*n/p.workers))
	}
	p.round.Add(1)
	if n > 1 {
		p.signal()
	}
	p.drain(0)
	p.await(p.finished)
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
	for !p.closed.Load() {
		round := p.round.Load()
		p.drain(w)
		p.await(func() bool { return p.round.Load() != round || p.closed.Load() })
	}
}

func (p *pool) finished() bool { return p.left.Load() == 0 }

// await returns once ready, which some thread signals, holds.
func (p *pool) await(ready func() bool) {
	var start time.Time
	for i := 1; !ready(); i++ {
		if i%256 != 0 {
			continue
		}
		if start.IsZero() {
			start = time.Now()
		} else if time.Since(start) > spin {
			p.park(ready)
			return
		}
		runtime.Gosched()
	}
}

// park sleeps until ready. It is counted before it looks, and signal counts after
// the change it tells of, so one of them sees the other.
func (p *pool) park(ready func() bool) {
	p.mu.Lock()
	p.parked.Add(1)
	for !ready() {
		p.wake.Wait()
	}
	p.parked.Add(-1)
	p.mu.Unlock()
}

// signal wakes whoever is parked.
func (p *pool) signal() {
	if p.parked.Load() > 0 {
		p.mu.Lock()
		p.wake.Broadcast()
		p.mu.Unlock()
	}
}

// drain does chunks until none is left to claim, those after a panic too.
func (p *pool) drain(w int) {
	for i := 0; i < p.workers; {
		if p.ranges[(w+i)%p.workers].empty() {
			i++
			continue
		}
		p.chunksOf(w)
	}
}

// chunksOf does chunks until none is left to claim or one panics.
func (p *pool) chunksOf(w int) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			p.failure.CompareAndSwap(nil, &failure{v})
			p.finish()
		}
	}()
	for c, ok := p.claim(w); ok; c, ok = p.claim(w) {
		p.task.run(w, c)
		p.finish()
	}
}

// claim takes worker w's next chunk, or the last of the next worker that has one.
func (p *pool) claim(w int) (chunk int, ok bool) {
	if chunk, ok = p.ranges[w].claim(true); ok {
		return chunk, true
	}
	for i := 1; i < p.workers; i++ {
		if chunk, ok = p.ranges[(w+i)%p.workers].claim(false); ok {
			return chunk, true
		}
	}
	return 0, false
}

// finish counts a claimed chunk as done.
func (p *pool) finish() {
	if p.left.Add(-1) == 0 {
		p.signal()
	}
}
