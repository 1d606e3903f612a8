package engine

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/kerneltest"
	"github.com/llmqat/llmqat/runtime/model"
	"github.com/llmqat/llmqat/runtime/sample"
)

const (
	fakeVocab = 50
	fakeEOS   = 3
	// mute is a token after which the fake's logits are no numbers.
	mute = fakeVocab - 1
)

// fake is a forwarder whose logits are a hash of all tokens before, which it reads
// back through the pages: a wrong page, position or row gives other tokens.
type fake struct {
	slots map[int32]int32 // the token in each slot
	rows  [][]int32       // tokens up to each row of the pass that is wanted
	draws []kernels.Draw  // and how their tokens are drawn; nil where a fake draws none
	drawn []int32
	draw  bool

	gate  chan struct{}          // where set, a pass takes one from it first
	fail  atomic.Pointer[error]  // what the next Logits returns
	panic atomic.Bool            // in the next Forward
	seen  func(runs []model.Run) // called with each pass
}

var errFake = errors.New("fake device: cable pulled")

func newFake() *fake { return &fake{slots: map[int32]int32{}} }

func (f *fake) Forward(runs []model.Run, rows []int32, draws []kernels.Draw) {
	if f.seen != nil {
		f.seen(runs)
	}
	if f.gate != nil {
		<-f.gate
	}
	if f.panic.Swap(false) {
		err := errFake // the device, too, has something to say, later
		f.fail.Store(&err)
		panic("fake bug")
	}
	slot := func(r model.Run, pos int) int32 {
		return r.Pages[pos/kernels.PageTokens]*kernels.PageTokens + int32(pos%kernels.PageTokens)
	}
	var all [][]int32
	for _, r := range runs {
		var before []int32
		for pos := range r.Position {
			before = append(before, f.slots[slot(r, pos)])
		}
		for i, id := range r.Tokens {
			f.slots[slot(r, r.Position+i)] = id
			before = append(before, id)
			all = append(all, slices.Clone(before))
		}
	}
	f.rows = f.rows[:0]
	for _, r := range rows {
		f.rows = append(f.rows, all[r])
	}
	if f.draws = nil; f.draw {
		f.draws = draws
	}
}

func (f *fake) CopyPage(to, from int32) {
	for i := range int32(kernels.PageTokens) {
		if id, written := f.slots[from*kernels.PageTokens+i]; written {
			f.slots[to*kernels.PageTokens+i] = id
		}
	}
}

func (f *fake) Logits(yield func(int, []float32)) error {
	f.drawn = nil
	for i, before := range f.rows {
		logits := fakeLogits(before)
		if f.draws != nil {
			f.drawn = append(f.drawn, kerneltest.Draw(logits, f.draws[i]))
		}
		if f.draws == nil || f.draws[i].Scale == 0 {
			yield(i, logits)
		}
	}
	return f.Sync()
}

func (f *fake) Drawn() []int32 { return f.drawn }

func (f *fake) Sync() error {
	if err := f.fail.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// fakeLogits is the model: the logits that follow the tokens before.
func fakeLogits(before []int32) []float32 {
	h := uint64(14695981039346656037)
	for _, id := range before {
		h = (h ^ uint64(id)) * 1099511628211
	}
	logits := make([]float32, fakeVocab)
	for i := range logits {
		h = h*6364136223846793005 + 1442695040888963407
		logits[i] = float32(h>>40) / (1 << 22) // 0 to 4
		if before[len(before)-1] == mute {
			logits[i] = float32(math.NaN())
		}
	}
	logits[mute] -= 100 // never drawn
	return logits
}

// alone is what a request must generate, whatever else runs: its tokens, EOS
// included, and the logprobs of prompt and answer.
func alone(r Request) (prompt, answer []Token) {
	s := sample.New(r.Sampling, fakeVocab, r.IDs)
	w, err := sample.NewWork(fakeVocab)
	if err != nil {
		panic(err)
	}
	tokens := slices.Clone(r.IDs)
	told := func(before []int32, id int32) Token {
		t := Token{ID: id}
		if r.Logprobs >= 0 {
			t.Logprob, t.Top = sample.Logprob(w, fakeLogits(before), id, r.Logprobs)
		}
		return t
	}
	for i := r.LogprobsFrom; i > 0 && i < len(tokens); i++ {
		prompt = append(prompt, told(tokens[:i], tokens[i]))
	}
	for range r.MaxTokens {
		id, err := s.Token(w, fakeLogits(tokens))
		if err != nil {
			break
		}
		answer = append(answer, told(tokens, id))
		if tokens = append(tokens, id); id == fakeEOS && !r.IgnoreEOS {
			break
		}
	}
	return prompt, answer
}
