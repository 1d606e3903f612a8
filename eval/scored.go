package eval

import (
	"context"
	"fmt"

	"github.com/llmqat/llmqat/eval/score"
)

// Scored is Perplexity by a Scorer, another server's for one: what is known of a window is the
// sum of its tokens' log-probabilities. Those are float32 there, so a window's mean is off by 2e-6
// nats at most where it is below 16. Progress, where it is not nil, is called with tokens.
func Scored(ctx context.Context, s score.Scorer, windows [][]int32, progress func(done, total int64)) (*Result, error) {
	requests, sum := make([]score.Request, len(windows)), make([]sums, len(windows))
	total, done := int64(0), int64(0)
	for i, w := range windows {
		if err := checkWindow(i, w); err != nil {
			return nil, err
		}
		if len(w) > s.MaxTokens() {
			return nil, fmt.Errorf("window %d has %d tokens, and %d can be scored together: shorter windows by --length", i, len(w), s.MaxTokens())
		}
		requests[i] = score.Request{Context: w[:1], Continuation: w[1:]}
		total += int64(len(w))
	}
	err := s.Score(ctx, requests, func(i int, got score.Score) error {
		n := len(windows[i]) - 1
		sum[i] = sums{n: n, nll: -got.Logprob}
		if done += int64(n + 1); progress != nil {
			progress(done, total)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return result(sum, nil), nil
}
