package engine

import (
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

// newDrawers returns one drawer less than there are threads, and than a step draws
// tokens.
func newDrawers(threads, vocab, maxSeqs int) (*drawers, error) {
	d := &drawers{idle: make(chan *drawer, min(threads-1, maxSeqs-1, maxDrawers))}
	for range cap(d.idle) {
		work, err := sample.NewWork(vocab)
		if err != nil {
			return nil, err
		}
		x := &drawer{work: work, logits: make([]float32, vocab)}
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
	return d, nil
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

// settle decides the tokens of the step's rows that the device does not draw, and
// takes those that it does.
func (l *loop) settle() error {
	defer l.drawers.wait()
	err := l.fw.Logits(func(i int, logits []float32) {
		w, last := &l.wants[i], i == len(l.wants)-1
		if last || w.quick() || !l.drawers.take(w, logits) {
			w.settle(l.work, logits)
		}
	})
	if err != nil {
		return err
	}
	for i, id := range l.fw.Drawn() {
		if l.draws[i] != (kernels.Draw{}) {
			l.wants[i].take(id)
		}
	}
	return nil
}

// draw returns how the device may draw w's token, which it may not where the logits
// are needed on the host, as those of a prompt's rows are.
func (w *want) draw() kernels.Draw {
	if w.q.Logprobs < 0 {
		if d, ok := w.q.sampler.Draw(); ok {
			return d
		}
	}
	return kernels.Draw{}
}

// take makes the device's token w's.
func (w *want) take(id int32) { w.result.ID, w.err = id, w.q.sampler.Drew(id) }

// quick says that to settle w takes less time than to copy its logits.
func (w *want) quick() bool {
	return w.q.Logprobs < 0 && w.q.Sampling.Temperature == 0
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
