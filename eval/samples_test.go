package eval

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/runtime/sample"
)

// What is drawn greedily is the likeliest by the logits of prompt and answer, for each
// prompt by itself.
func TestContinue(t *testing.T) {
	f, dev := file(t, "4-8-4", tiny()), device(t, 2)
	prompts := random(9, 1, 30)
	answers, err := Continue(context.Background(), dev, f, prompts, 20, sample.Params{})
	if err != nil {
		t.Fatal(err)
	}
	var whole [][]int32
	for i, p := range prompts {
		whole = append(whole, slices.Concat(p, answers[i]))
	}
	for i, rows := range logits(t, f, whole) {
		if len(answers[i]) == 0 {
			t.Errorf("prompt %d has no answer", i)
		}
		for j, id := range answers[i] {
			if row := rows[len(prompts[i])+j-1]; row[id] != slices.Max(row) {
				t.Errorf("prompt %d, token %d: %d, which is not the likeliest", i, j, id)
			}
		}
	}
	drawn, err := Continue(context.Background(), dev, f, prompts, 20, sample.Params{Temperature: 1, Seed: 3})
	if err != nil || slices.Equal(drawn[2], answers[2]) {
		t.Errorf("drawn at temperature 1: %v, greedily %v (%v)", drawn[2], answers[2], err)
	}
	if _, err := Continue(context.Background(), dev, f, prompts, 171, sample.Params{}); err == nil || !strings.Contains(err.Error(), "the context holds 200") {
		t.Errorf("171 tokens behind 30: %v", err)
	}
}
