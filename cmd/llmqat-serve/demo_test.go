package main

import (
	"path/filepath"
	"testing"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

// The demo model is near the float model that it was trained to be like, on texts as long as its context: rounded to
// nearest it would be 0.6 nats away, and trained on shorter texts a whole one.
func TestDemoIsNearItsTeacher(t *testing.T) {
	open := func(name string) *qat.File {
		f, err := qat.Open(filepath.Join("demo", name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	student, teacher := open("stories260K.qat"), open("stories260K-float.qat")
	dev, err := cpu.New(0, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	e, err := engine.New(teacher, engine.Options{Device: dev})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	config := &teacher.Header().Config
	var windows [][]int32
	for seed := range uint64(4) {
		ids := []int32{int32(config.BOSTokenID)}
		events, err := e.Generate(t.Context(), engine.Request{
			IDs: ids, MaxTokens: config.MaxPositionEmbeddings - 1, Sampling: sample.Params{Temperature: 1, TopP: 1, Seed: seed}, Logprobs: -1, IgnoreEOS: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		for ev := range events {
			if ev.Err != nil {
				t.Fatal(ev.Err)
			}
			if ev.Kind == engine.KindToken {
				ids = append(ids, ev.Token.ID)
			}
		}
		windows = append(windows, ids)
	}
	r, err := eval.Compare(t.Context(), dev, student, teacher, windows, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tokens: KL %v, perplexity %v, teacher's %v", r.Tokens, r.KL, r.Perplexity, r.TeacherPerplexity)
	if r.KL.Value > 0.15 {
		t.Errorf("KL to the teacher %v, want 0.15 at most", r.KL)
	}
}
