package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/model"
	"github.com/llmqat/llmqat/runtime/sample"
)

// rowsOf is a forwarder that yields the same logits for every row.
type rowsOf struct {
	n      int
	logits []float32
}

func (r rowsOf) Forward([]model.Run, []int32, []kernels.Draw) {}
func (r rowsOf) CopyPage(to, from int32)                      {}
func (r rowsOf) Drawn() []int32                               { return nil }
func (r rowsOf) Sync() error                                  { return nil }
func (r rowsOf) Logits(yield func(int, []float32)) error {
	for i := range r.n {
		yield(i, r.logits)
	}
	return nil
}

// drawing returns a loop whose step wants n rows drawn.
func drawing(t testing.TB, n, vocab, threads int, p sample.Params) *loop {
	r := rand.New(rand.NewPCG(3, 3))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(2.5*r.NormFloat64() + 2*r.ExpFloat64())
	}
	e := &Engine{info: Info{VocabSize: vocab, KVPages: 1}, o: Options{Threads: threads, MaxSeqs: n, Budget: n, Chunk: n}}
	l, err := newLoop(e, rowsOf{n, logits})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p.Seed = uint64(i)
		q := &request{Request: Request{Logprobs: i%3 - 1, Sampling: p}, sampler: sample.New(p, vocab, nil)}
		l.wants = append(l.wants, want{q: q, next: -1})
	}
	return l
}

// A drawer's panic ends the step only when all have settled, and with its own stack.
func TestDrawerPanics(t *testing.T) {
	l := drawing(t, 40, 1000, 4, sample.Params{Temperature: 1})
	l.wants[0].q = &request{Request: Request{Logprobs: 0}} // no sampler
	func() {
		defer func() {
			err, _ := recover().(error)
			if p := (*PanicError)(nil); !errors.As(err, &p) || len(p.Stack) == 0 {
				t.Errorf("the step ended with %v, want a *PanicError", err)
			}
		}()
		_ = l.settle()
	}()
	if n := len(l.drawers.idle); n != 3 {
		t.Errorf("%d drawers are idle after the panic, want 3", n)
	}
	l.wants[0].q = &request{sampler: sample.New(sample.Params{}, 1000, nil)}
	if err := l.settle(); err != nil {
		t.Error(err)
	}
}

// No more drawers than a step has tokens to draw, but for the loop's own.
func TestDrawersAreBounded(t *testing.T) {
	for _, c := range []struct{ threads, maxSeqs, want int }{{8, 1, 0}, {8, 3, 2}, {2, 16, 1}, {64, 64, maxDrawers}} {
		d, err := newDrawers(c.threads, 10, c.maxSeqs)
		if err != nil || len(d.idle) != c.want {
			t.Errorf("%d threads, %d sequences: %d drawers, %v; want %d", c.threads, c.maxSeqs, len(d.idle), err, c.want)
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	for _, vocab := range []int{32_000, 128_256} {
		for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
			b.Run(fmt.Sprintf("vocab=%d/rows=16/threads=%d", vocab, threads), func(b *testing.B) {
				l := drawing(b, 16, vocab, threads, sample.Params{Temperature: 1, TopP: 0.95})
				for b.Loop() {
					if err := l.settle(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
