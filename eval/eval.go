// Package eval says how good a model is: by the perplexity of text, and by how near its
// distribution of the next token comes to its teacher's. Models run by runtime/model, so
// what is measured is what is served. docs/eval.md has the conventions.
package eval

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
)

// Options change no result on a CPU. Zero values stand for the defaults.
type Options struct {
	MaxTokens int // tokens of a pass: 512, or fewer where their logits would take more than 64 MB
	Threads   int // of the host that work on logits: one a core

	// Progress, where it is not nil, is called after each pass, with tokens.
	Progress func(done, total int64)
}

// Perplexity runs f over windows, each alone.
func Perplexity(ctx context.Context, dev kernels.Device, f *qat.File, windows [][]int32, o Options) (*Result, error) {
	return evaluate(ctx, dev, windows, o, f)
}

// Compare runs student and teacher over windows, each alone. Both lie in the device's
// memory, beside the KV cache of a few windows; on the host the logits of a pass and,
// for the percentile, a number per token are kept.
func Compare(ctx context.Context, dev kernels.Device, student, teacher *qat.File, windows [][]int32, o Options) (*Result, error) {
	if err := SameVocabulary(student, teacher); err != nil {
		return nil, err
	}
	return evaluate(ctx, dev, windows, o, student, teacher)
}

// SameVocabulary checks that ids mean the same to both.
func SameVocabulary(student, teacher *qat.File) error {
	s, t := student.Header(), teacher.Header()
	if a, b := s.Config.VocabSize, t.Config.VocabSize; a != b {
		return fmt.Errorf("%s has a vocabulary of %d, %s one of %d: compare a student with its own teacher", student.Path(), a, teacher.Path(), b)
	}
	if s.Tokenizer == nil || t.Tokenizer == nil {
		return nil
	}
	for id := range int32(s.Config.VocabSize) {
		if a, b := s.Tokenizer.Token(id), t.Tokenizer.Token(id); a != b {
			return fmt.Errorf("token %d is %q in %s and %q in %s: compare a student with its own teacher", id, a, student.Path(), b, teacher.Path())
		}
	}
	return nil
}

// evaluate runs the student and, where it is given, the teacher.
func evaluate(ctx context.Context, dev kernels.Device, windows [][]int32, o Options, files ...*qat.File) (*Result, error) {
	for i, w := range windows {
		if err := checkWindow(i, w); err != nil {
			return nil, err
		}
	}
	var all []float64 // KL of every token
	sum := make([]sums, len(windows))
	var tokens []token
	err := each(ctx, dev, windows, o, files, func(pass []piece, models []*served) error {
		var err error
		if tokens, err = measureAll(tokens[:0], windows, pass, models, o.Threads); err != nil {
			return err
		}
		i := 0
		for _, p := range pass {
			for at := p.from; at < p.to; at, i = at+1, i+1 {
				if at+1 < len(windows[p.window]) {
					sum[p.window].add(tokens[i])
					if len(models) > 1 {
						all = append(all, tokens[i].kl)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result(sum, all), nil
}

// checkWindow wants a token that can be predicted.
func checkWindow(i int, w []int32) error {
	if len(w) < 2 {
		return fmt.Errorf("window %d has %d tokens, want 2 at least: one to begin with and one to predict", i, len(w))
	}
	return nil
}

// measureAll appends what is measured of each row of a pass, by several threads; of a
// window's last token, which nothing follows, nothing is.
func measureAll(tokens []token, windows [][]int32, pass []piece, models []*served, threads int) ([]token, error) {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	var g errgroup.Group
	g.SetLimit(threads)
	n := 0
	for _, p := range pass {
		n += p.to - p.from
	}
	tokens = append(tokens, make([]token, n)...)
	const block = 8 // rows of a goroutine at a time
	row := 0
	for _, p := range pass {
		w := windows[p.window]
		for at := p.from; at < p.to; at += block {
			from, to, first := at, min(at+block, p.to, len(w)-1), row+at-p.from
			g.Go(func() error {
				for at := from; at < to; at++ {
					i := first + at - from
					var teacher []float32
					if len(models) > 1 {
						teacher = models[1].row(i)
					}
					var ok bool
					if tokens[i], ok = measure(models[0].row(i), teacher, w[at+1]); !ok {
						return fmt.Errorf("window %d, token %d: logits that are no numbers: is the model whole (llmqat inspect --verify)?", p.window, at)
					}
				}
				return nil
			})
		}
		row += p.to - p.from
	}
	return tokens, g.Wait()
}

// Hash returns the SHA-256 of all logits of windows: float32, little-endian, in the
// order of windows, tokens and ids. Two models of one hash are one model, to the bit.
func Hash(ctx context.Context, dev kernels.Device, f *qat.File, windows [][]int32, o Options) (string, error) {
	s, err := NewStream(dev, f, windows, o)
	if err != nil {
		return "", err
	}
	defer s.Close()
	dst := make([]float32, s.tokens*s.model.vocab)
	done := int64(0)
	for done < s.total {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n := min(int64(s.tokens), s.total-done)
		if err := s.Next(dst[:int(n)*s.model.vocab]); err != nil {
			return "", err
		}
		if done += n; o.Progress != nil {
			o.Progress(done, s.total)
		}
	}
	return s.Sum(), nil
}

// logitBytes is what the logits of a pass may take for each model.
const logitBytes = 64 << 20

// each runs all models over the windows and calls yield after each pass.
func each(ctx context.Context, dev kernels.Device, windows [][]int32, o Options, files []*qat.File, yield func([]piece, []*served) error) error {
	vocab := files[0].Header().Config.VocabSize
	longest, total, err := check(windows, vocab)
	if err != nil {
		return err
	}
	tokens := o.tokens(vocab)
	var models []*served
	for _, f := range files {
		m, err := load(dev, f, tokens, longest)
		if err != nil {
			return err
		}
		defer m.close()
		models = append(models, m)
	}
	done := int64(0)
	for pass := range passes(windows, tokens, min(maxSeqs, tokens)) {
		for i, m := range models {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := m.run(windows, pass); err != nil {
				return fmt.Errorf("%s: window %d: %w", files[i].Path(), pass[0].window, err)
			}
		}
		if err := yield(pass, models); err != nil {
			return err
		}
		for _, p := range pass {
			done += int64(p.to - p.from)
		}
		if o.Progress != nil {
			o.Progress(done, total)
		}
	}
	return nil
}

// tokens is how many a pass has.
func (o *Options) tokens(vocab int) int {
	if o.MaxTokens > 0 {
		return o.MaxTokens
	}
	return max(1, min(512, logitBytes/(4*vocab)))
}

// check returns the length of the longest window and of all together, whose ids must be
// those of a vocabulary.
func check(windows [][]int32, vocab int) (longest int, total int64, err error) {
	for i, w := range windows {
		longest, total = max(longest, len(w)), total+int64(len(w))
		for at, id := range w {
			if id < 0 || int(id) >= vocab {
				return 0, 0, fmt.Errorf("window %d: token %d at %d, want ids 0 to %d: tokenize with the model's own tokenizer", i, id, at, vocab-1)
			}
		}
	}
	if total == 0 {
		return 0, 0, fmt.Errorf("no windows to evaluate on: give more text, or shorter windows")
	}
	return longest, total, nil
}
