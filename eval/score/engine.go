package score

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Engine scores by a model that it runs itself, batched, with the beginnings that contexts
// share computed once. A token's logprob is the one that the server would tell, whatever it
// runs beside: a float32, whose softmax sums float32 exponentials. A token's is off by 2e-6
// at most where p > 1e-7, and the sum, a float64, by no more than its terms.
type Engine struct {
	file    *qat.File
	options engine.Options
	ahead   int            // requests that the engine has at once
	longest int            // tokens that the model takes
	engine  *engine.Engine // nil until something is asked
	closed  bool
}

// NewEngine scores by the model in f, which must stay open until Close. Of o, whose Device is
// required, what is zero has the engine's defaults, but a smaller cache in the host's memory: on a
// CPU, 8 sequences in steps of 512 tokens score as many requests a second as 128 in steps of 2,048.
// The model is loaded for what Score is asked, with a context as long as that.
func NewEngine(f *qat.File, o engine.Options) (*Engine, error) {
	whole := o
	whole.KVBytes = 0 // may be less than a whole context takes
	info, err := engine.Foresee(f.Header(), whole)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	s := &Engine{file: f, options: o, ahead: aheadSeqs * info.MaxSeqs, longest: info.MaxContext + 1}
	s.options.MaxQueue, s.options.MaxQueueTokens = s.ahead, math.MaxInt64
	return s, nil
}

// Foresee says what scoring requests of so many tokens at most would take for a model that is
// not there, of which h says all.
func Foresee(h *qat.Header, o engine.Options, longest int) (engine.Info, error) {
	return engine.Foresee(h, sized(h, o, longest))
}

// sized is o for requests of so many tokens at most, of which the last is only predicted.
func sized(h *qat.Header, o engine.Options, longest int) engine.Options {
	o.MaxContext = max(1, longest-1)
	if _, own := o.Device.(kernels.OwnMemory); o.KVBytes == 0 && !own {
		pages := max(kvcache.Count(o.MaxContext), cacheSeqs*kvcache.Count(min(o.MaxContext, 1024)))
		o.KVBytes = int64(pages) * kvcache.PageBytes(&h.Config, h.Quantization.KV())
	}
	return o
}

// cacheSeqs is for how many long sequences the cache has room by default.
const cacheSeqs = 8

// aheadSeqs is how many requests the engine has for each that it runs: the choices of a
// question wait until the first of them has computed what they share, and others run meanwhile.
const aheadSeqs = 4

// MaxTokens is one more than the model's context, as the last token is only predicted.
func (s *Engine) MaxTokens() int { return s.longest }

// Close frees the model.
func (s *Engine) Close() error {
	s.closed = true
	if s.engine != nil {
		s.engine.Close()
	}
	return nil
}

// Score implements Scorer.
func (s *Engine) Score(ctx context.Context, requests []Request, done func(i int, s Score) error) error {
	if err := check(requests, s.MaxTokens()); err != nil {
		return fmt.Errorf("%s: %w", s.file.Path(), err)
	}
	longest := 0
	for _, r := range requests {
		longest = max(longest, len(r.Context)+len(r.Continuation))
	}
	if err := s.load(longest); err != nil {
		return err
	}
	return each(ctx, requests, 1, s.ahead, s.ask, done)
}

// load has an engine for requests of so many tokens.
func (s *Engine) load(longest int) (err error) {
	if s.closed {
		return fmt.Errorf("%s: %w", s.file.Path(), engine.ErrClosed)
	}
	o := sized(s.file.Header(), s.options, longest)
	if s.engine != nil {
		if o.MaxContext <= s.engine.Info().MaxContext {
			return nil
		}
		s.engine.Close()
	}
	s.engine, err = engine.New(s.file, o)
	return err
}

// ask scores one request.
func (s *Engine) ask(ctx context.Context, list []Request) ([]Score, error) {
	r := list[0]
	events, err := s.engine.Generate(ctx, engine.Request{IDs: slices.Concat(r.Context, r.Continuation), LogprobsFrom: len(r.Context), Logprobs: 1})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.file.Path(), err)
	}
	score := Score{Greedy: true}
	for ev := range events {
		if ev.Err != nil {
			return nil, fmt.Errorf("%s: %w", s.file.Path(), ev.Err)
		}
		for _, t := range ev.Prompt {
			score.Logprob += float64(t.Logprob)
			score.Greedy = score.Greedy && len(t.Top) > 0 && t.Top[0].ID == t.ID
		}
	}
	if err := ctx.Err(); err != nil { // the events may have ended early
		return nil, err
	}
	if math.IsInf(score.Logprob, 0) {
		return nil, fmt.Errorf("%s: logits that are no numbers: is the model whole (llmqat inspect --verify)?", s.file.Path())
	}
	return []Score{score}, nil
}
