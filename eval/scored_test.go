package eval

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/runtime/engine"
)

// By sums of log-probabilities a text has the perplexity that it has by logits.
func TestScoredIsPerplexity(t *testing.T) {
	f, dev := file(t, "4-8-4", tiny()), device(t, 1)
	windows := random(200, 2, 17, 150, 64, 64)
	want, err := Perplexity(context.Background(), dev, f, windows, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := score.NewEngine(f, engine.Options{Device: dev})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last := int64(0)
	got, err := Scored(context.Background(), s, windows, func(done, total int64) {
		if last = done; total != 497 {
			t.Errorf("%d tokens in all, want 497", total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != 497 || got.Windows != want.Windows || got.Tokens != want.Tokens {
		t.Errorf("%d tokens told, %d windows of %d tokens; want %d of %d", last, got.Windows, got.Tokens, want.Windows, want.Tokens)
	}
	for i := range want.Each {
		if d := got.Each[i].NLL - want.Each[i].NLL; math.Abs(d) > 2e-6 {
			t.Errorf("window %d: %v nats a token, by logits %v", i, got.Each[i].NLL, want.Each[i].NLL)
		}
	}
	if d := got.Perplexity.Value/want.Perplexity.Value - 1; math.Abs(d) > 2e-6 {
		t.Errorf("perplexity %v, by logits %v", got.Perplexity, want.Perplexity)
	}
	for says, windows := range map[string][][]int32{"--length": random(5, 202), "want 2 at least": random(5, 1)} {
		if _, err := Scored(context.Background(), s, windows, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one with %q", err, says)
		}
	}
}
