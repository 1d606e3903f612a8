package score

import (
	"cmp"
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
	engine *engine.Engine
	path   string
	ahead  int // requests that the engine has at once
}

// NewEngine loads the model in f, which must stay open until Close. Of o, whose Device is
// required, what is zero has the engine's defaults, but a smaller cache in the host's memory: on a
// CPU, 8 sequences in steps of 512 tokens score as many requests a second as 128 in steps of 2,048.
func NewEngine(f *qat.File, o engine.Options) (*Engine, error) {
	o = withCache(f.Header(), o)
	info, err := engine.Plan(f, o)
	if err != nil {
		return nil, err
	}
	s := &Engine{path: f.Path(), ahead: aheadSeqs * info.MaxSeqs}
	o.MaxQueue, o.MaxQueueTokens = s.ahead, math.MaxInt64
	if s.engine, err = engine.New(f, o); err != nil {
		return nil, err
	}
	return s, nil
}

// Foresee says what NewEngine would take for a model that is not there, of which h says all.
func Foresee(h *qat.Header, o engine.Options) (engine.Info, error) {
	return engine.Foresee(h, withCache(h, o))
}

func withCache(h *qat.Header, o engine.Options) engine.Options {
	if _, own := o.Device.(kernels.OwnMemory); o.KVBytes == 0 && !own {
		longest := cmp.Or(o.MaxContext, h.Config.MaxPositionEmbeddings)
		pages := max(kvcache.Count(longest), cacheSeqs*kvcache.Count(min(longest, 1024)))
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
func (s *Engine) MaxTokens() int { return s.engine.Info().MaxContext + 1 }

// Close frees the model.
func (s *Engine) Close() error {
	s.engine.Close()
	return nil
}

// Score implements Scorer.
func (s *Engine) Score(ctx context.Context, requests []Request, done func(i int, s Score) error) error {
	if err := check(requests, s.MaxTokens()); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return each(ctx, requests, 1, s.ahead, s.ask, done)
}

// ask scores one request.
func (s *Engine) ask(ctx context.Context, list []Request) ([]Score, error) {
	r := list[0]
	events, err := s.engine.Generate(ctx, engine.Request{IDs: slices.Concat(r.Context, r.Continuation), LogprobsFrom: len(r.Context), Logprobs: 1})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	score := Score{Greedy: true}
	for ev := range events {
		if ev.Err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, ev.Err)
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
		return nil, fmt.Errorf("%s: logits that are no numbers: is the model whole (llmqat inspect --verify)?", s.path)
	}
	return []Score{score}, nil
}
