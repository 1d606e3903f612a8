package engine

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/sample"
)

// drawers decide tokens beside the loop, which decides those that find all of them
// busy. A token depends on its request and its logits, on no drawer.
type drawers struct {
	idle   chan *drawer
	busy   sync.WaitGroup
	failed atomic.Pointer[PanicError] // the first panic
}

type drawer struct {
	work   *sample.Work
	logits []float32
	want   *want
	run    func() // settles want
}

// maxDrawers bounds their memory, 16 bytes a token of the vocabulary and more
// where top-k or top-p keep many.
const maxDrawers = 15

// newDrawers returns one drawer less than the device has threads.
func newDrawers(dev kernels.Device, vocab int) *drawers {
	threads := runtime.GOMAXPROCS(0)
	if d, ok := dev.(interface{ Workers() int }); ok {
		threads = d.Workers()
	}
	d := &drawers{idle: make(chan *drawer, min(threads-1, maxDrawers))}
	for range cap(d.idle) {
		x := &drawer{work: sample.NewWork(vocab), logits: make([]float32, vocab)}
		x.run = func() {
			defer d.busy.Done()
			defer func() {
				if v := recover(); v != nil {
					d.failed.CompareAndSwap(nil, &PanicError{v, debug.Stack()})
				}
				d.idle <- x
			}()
			x.want.settle(x.work, x.logits)
		}
		d.idle <- x
	}
	return d
}

// take has an idle drawer settle w, whose result is there after wait. It returns
// false where none is idle.
func (d *drawers) take(w *want, logits []float32) bool {
	select {
	case x := <-d.idle:
		x.want = w
		copy(x.logits, logits)
		d.busy.Add(1)
		go x.run()
		return true
	default:
		return false
	}
}

// wait returns when all have settled what they took. A drawer's panic goes on in
// the caller, as a *PanicError.
func (d *drawers) wait() {
	d.busy.Wait()
	if err := d.failed.Swap(nil); err != nil {
		panic(err)
	}
}

// settle decides the tokens of the step's rows.
func (l *loop) settle() error {
	defer l.drawers.wait()
	return l.fw.Logits(func(i int, logits []float32) {
		w, last := &l.wants[i], i == len(l.wants)-1
		if last || w.quick() || !l.drawers.take(w, logits) {
			w.settle(l.work, logits)
		}
	})
}

// quick says that to settle w takes less time than to copy its logits.
func (w *want) quick() bool {
	return w.q.Logprobs < 0 && (w.next >= 0 || w.q.Sampling.Temperature == 0)
}

// settle decides a row's token from its logits.
func (w *want) settle(work *sample.Work, logits []float32) {
	id := w.next
	if id < 0 {
		if id, w.err = w.q.sampler.Token(work, logits); w.err != nil {
			return
		}
	}
	w.result.ID = id
	if w.q.Logprobs >= 0 {
		w.result.Logprob, w.result.Top = sample.Logprob(work, logits, id, w.q.Logprobs)
	}
}
