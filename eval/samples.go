package eval

import (
	"context"
	"fmt"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

// Continue has f, as it is served, continue each prompt by up to n tokens, drawn by p,
// and returns those tokens without the one that ended them.
func Continue(ctx context.Context, dev kernels.Device, f *qat.File, prompts [][]int32, n int, p sample.Params) (answers [][]int32, err error) {
	longest := 0
	for _, ids := range prompts {
		longest = max(longest, len(ids))
	}
	if most := f.Header().Config.MaxPositionEmbeddings; longest+n > most {
		return nil, fmt.Errorf("%s: a prompt of %d tokens and %d more: the context holds %d", f.Path(), longest, n, most)
	}
	e, err := engine.New(f, engine.Options{Device: dev, MaxContext: longest + n, MaxSeqs: max(1, len(prompts)), MaxQueue: len(prompts)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	defer e.Close()
	var events []<-chan engine.Event
	for _, ids := range prompts {
		c, err := e.Generate(ctx, engine.Request{IDs: ids, MaxTokens: n, Sampling: p, Logprobs: -1})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path(), err)
		}
		events = append(events, c)
	}
	for _, c := range events {
		var ids []int32
		for ev := range c {
			switch {
			case ev.Err != nil:
				return nil, fmt.Errorf("%s: %w", f.Path(), ev.Err)
			case ev.Kind == engine.KindToken:
				ids = append(ids, ev.Token.ID)
			}
		}
		answers = append(answers, ids)
	}
	return answers, nil
}
