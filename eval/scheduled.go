package eval

import (
	"context"
	"fmt"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
	"github.com/llmqat/llmqat/runtime/sched"
)

const (
	scheduledSeqs = 16 // windows at once, where their logits fit logitBytes
	decoded       = 16 // last tokens of a window that come one by one, at most half of it
)

// HashScheduled returns what Hash does, of logits computed as a server does: in the
// steps of its scheduler, several windows together, each a prompt in chunks and then
// tokens one at a time, as if they had been drawn.
func HashScheduled(ctx context.Context, dev kernels.Device, f *qat.File, windows [][]int32, o Options) (string, error) {
	vocab := f.Header().Config.VocabSize
	longest, total, err := check(windows, vocab)
	if err != nil {
		return "", err
	}
	seqs := max(1, min(scheduledSeqs, logitBytes/(4*vocab*longest)))
	budget := max(o.tokens(vocab), seqs)
	m, err := model.Load(dev, f, model.Options{MaxTokens: budget, MaxSeqs: seqs, MaxContext: longest})
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.Path(), err)
	}
	defer m.Close()
	pages := seqs * sched.MaxPages(longest, 1)
	pool, err := kvcache.NewPool(dev, &f.Header().Config, f.Header().Quantization.KV(), pages)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.Path(), err)
	}
	defer pool.Close()
	s := scheduled{windows: windows, steps: sched.New(sched.Options{Budget: budget, Chunk: budget, Sequences: seqs}, kvcache.NewPages(pages)), left: make([]int, len(windows)), early: map[int][]float32{}, sum: newLogitHash()}
	for i, w := range windows {
		s.left[i] = len(w)
	}
	for done := int64(0); done < total; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := s.step(m, pool, seqs)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Path(), err)
		}
		if done += int64(n); o.Progress != nil {
			o.Progress(done, total)
		}
	}
	return s.sum.String(), nil
}

// scheduled is HashScheduled under way.
type scheduled struct {
	windows [][]int32
	steps   *sched.Scheduler
	added   int               // windows that the scheduler was given
	first   int               // window whose logits are hashed as they come,
	early   map[int][]float32 // and of those behind it what has come
	left    []int             // logits that are to come, by window
	sum     logitHash
	rows    []int32
}

// step runs a step and returns how many tokens it had.
func (s *scheduled) step(m *model.Model, pool *kvcache.Pool, seqs int) (int, error) {
	for ; s.added < min(len(s.windows), s.first+seqs); s.added++ { // so that early has few
		w := s.windows[s.added]
		if len(w) == 0 {
			s.settle()
			continue
		}
		prompt := len(w) - min(decoded, len(w)/2)
		q := &sched.Sequence{ID: int64(s.added), Prompt: prompt, Logits: prompt}
		q.Tokens = w[:q.Prompt:q.Prompt]
		if n := len(w) - q.Prompt; n > 0 {
			q.MaxTokens = n + 1 // the last one's logits are wanted, too
		}
		s.steps.Add(q)
	}
	step := s.steps.Next()
	var runs []model.Run
	var of []int     // row: window
	var next []int32 // what is drawn
	for _, r := range step.Runs {
		runs = append(runs, model.Run{Tokens: r.Tokens[r.From:r.To], Position: r.From, Pages: r.Pages})
		for range r.To - r.From {
			of = append(of, int(r.ID))
		}
		if w := s.windows[r.ID]; r.Samples() && r.To < len(w) {
			next = append(next, w[r.To])
		} else if r.Samples() {
			next = append(next, 0) // which is not run
		}
	}
	for len(s.rows) < len(of) {
		s.rows = append(s.rows, int32(len(s.rows)))
	}
	m.Forward(runs, s.rows[:len(of)], nil, pool.Layers)
	err := m.Logits(func(i int, logits []float32) { s.add(of[i], logits) })
	s.steps.Advance(step, next)
	return len(of), err
}

// add takes the next logits of a window.
func (s *scheduled) add(window int, logits []float32) {
	s.left[window]--
	if window == s.first {
		s.sum.add(logits)
	} else {
		s.early[window] = append(s.early[window], logits...)
	}
	s.settle()
}

// settle goes on to the first window that lacks logits.
func (s *scheduled) settle() {
	for s.first < len(s.windows) && s.left[s.first] == 0 {
		delete(s.early, s.first)
		if s.first++; len(s.early[s.first]) > 0 {
			s.sum.add(s.early[s.first])
			s.early[s.first] = nil
		}
	}
}
