package eval

import (
	"fmt"
	"iter"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// piece is the part of a window that one pass computes.
type piece struct{ window, from, to int }

// passes cuts windows into passes of tokens tokens, of maxSeqs windows at most, in
// order: a window that a pass has no room for goes on in the next. Only the last
// window of a pass can be unfinished after it.
func passes(windows [][]int32, tokens, maxSeqs int) iter.Seq[[]piece] {
	return func(yield func([]piece) bool) {
		var pass []piece
		left := tokens
		for w, ids := range windows {
			for from := 0; from < len(ids); {
				n := min(left, len(ids)-from)
				pass = append(pass, piece{w, from, from + n})
				from, left = from+n, left-n
				if left == 0 || len(pass) == maxSeqs {
					if !yield(pass) {
						return
					}
					pass, left = pass[:0], tokens
				}
			}
		}
		if len(pass) > 0 {
			yield(pass)
		}
	}
}

// maxSeqs is how many windows a pass may have.
const maxSeqs = 32

// served is a model as it is served, with a KV cache for the windows of a pass.
type served struct {
	*model.Model
	vocab  int
	pool   *kvcache.Pool
	pages  *kvcache.Pages
	table  map[int][]int32 // pages of the windows under way
	rows   []int32         // 0, 1, 2, ...: all rows' logits are wanted
	logits []float32       // [tokens of a pass, vocab] of the last pass
}

// load takes the device memory for passes of tokens tokens of windows of up to
// longest.
func load(dev kernels.Device, f *qat.File, tokens, longest int) (*served, error) {
	h := f.Header()
	s := &served{vocab: h.Config.VocabSize, table: map[int][]int32{}, rows: make([]int32, tokens), logits: make([]float32, tokens*h.Config.VocabSize)}
	for i := range s.rows {
		s.rows[i] = int32(i)
	}
	var err error
	s.Model, err = model.Load(dev, f, model.Options{MaxTokens: tokens, MaxSeqs: min(maxSeqs, tokens), MaxContext: longest})
	if err == nil {
		// One window goes on from the pass before; each may leave a page partly empty.
		pages := kvcache.Count(longest) + kvcache.Count(tokens) + maxSeqs
		s.pages = kvcache.NewPages(pages)
		s.pool, err = kvcache.NewPool(dev, &h.Config, h.Quantization.KV(), pages)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	return s, nil
}

func (s *served) close() {
	if s.pool != nil {
		s.pool.Close()
	}
	if s.Model != nil {
		s.Model.Close()
	}
}

// run computes a pass: s.logits are those that follow each of its tokens.
func (s *served) run(windows [][]int32, pass []piece) error {
	runs := make([]model.Run, len(pass))
	n := 0
	for i, p := range pass {
		table, err := s.pages.Grow(s.table[p.window], p.to)
		if err != nil {
			panic(fmt.Sprintf("eval: %d of %d pages are free, for %d tokens of a pass of %d windows", s.pages.Free(), s.pages.Total(), p.to, len(pass)))
		}
		s.table[p.window] = table
		runs[i] = model.Run{Tokens: windows[p.window][p.from:p.to], Position: p.from, Pages: table}
		n += p.to - p.from
	}
	s.Forward(runs, s.rows[:n], nil, s.pool.Layers)
	err := s.Logits(func(i int, logits []float32) { copy(s.row(i), logits) })
	for _, p := range pass {
		if p.to == len(windows[p.window]) {
			s.pages.Release(s.table[p.window])
			delete(s.table, p.window)
		}
	}
	return err
}

// row returns the logits of a row of the last pass.
func (s *served) row(i int) []float32 { return s.logits[i*s.vocab:][:s.vocab] }
