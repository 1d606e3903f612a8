package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels/quant"
)

// randomModel writes a small model that talks noise.
func randomModel(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.qat")
	err := convert.Synth(context.Background(), format.Config{
		HiddenSize: 64, IntermediateSize: 96, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 16,
		VocabSize: 400, MaxPositionEmbeddings: 100, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}, path, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	model := randomModel(t)
	text := func(c runCmd, in string) (string, string) {
		t.Helper()
		c.Model, c.Threads, c.IgnoreEOS = model, 1, true
		var out, log bytes.Buffer
		if err := c.run(context.Background(), strings.NewReader(in), &out, &log); err != nil {
			t.Fatal(err)
		}
		return out.String(), log.String()
	}
	whole, log := text(runCmd{Prompt: "hello", MaxTokens: 20, Echo: true}, "")
	if !strings.HasPrefix(whole, "hello") || len(whole) < len("hello")+10 || !strings.HasSuffix(whole, "\n") {
		t.Errorf("the text %q does not continue the prompt", whole)
	}
	if !strings.Contains(log, "answer: 20 tokens") || !strings.Contains(log, "4-8-4") || !strings.Contains(log, "loaded in") {
		t.Errorf("the log %q does not tell bits, load time and speed", log)
	}
	if answer, _ := text(runCmd{Prompt: "hello", MaxTokens: 20}, ""); "hello"+answer != whole {
		t.Errorf("without echo %q, with it %q", answer, whole)
	}
	if piped, _ := text(runCmd{Prompt: "-", MaxTokens: 20, Echo: true}, "hello\n"); piped != whole {
		t.Errorf("from standard input %q, as argument %q", piped, whole)
	}
	seed := uint64(3)
	drawn, _ := text(runCmd{Prompt: "hello", MaxTokens: 20, Temperature: 1, Seed: &seed, Echo: true}, "")
	again, log := text(runCmd{Prompt: "hello", MaxTokens: 20, Temperature: 1, Seed: &seed, Echo: true}, "")
	if drawn != again || drawn == whole || !strings.Contains(log, "seed 3") {
		t.Errorf("seed 3 gives %q and %q, greedy %q; log %q", drawn, again, whole, log)
	}
	if _, log := text(runCmd{MaxTokens: 500}, ""); !strings.Contains(log, "room for 99") || !strings.Contains(log, "answer: 99 tokens") {
		t.Errorf("500 tokens in a context of 100: log %q", log)
	}
}

func TestRunFails(t *testing.T) {
	model := randomModel(t)
	for _, c := range []struct {
		c    runCmd
		says string
	}{
		{runCmd{Model: model + "x", MaxTokens: 1}, "no such file"},
		{runCmd{Model: model, MaxTokens: 1, Ctx: 101}, "this model takes 1 to 100"},
		{runCmd{Model: model, MaxTokens: -1}, "max_tokens is -1"},
		{runCmd{Model: model, MaxTokens: 1, Device: "cuda:999"}, "device cuda:999"},
		{runCmd{Model: model, MaxTokens: 1, TopP: 3}, "top_p is 3"},
		{runCmd{Model: model, MaxTokens: 1, Prompt: strings.Repeat("word ", 200)}, "context"},
	} {
		var out, log bytes.Buffer
		if err := c.c.run(context.Background(), nil, &out, &log); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error %v, want one that says %q", c.c, err, c.says)
		}
	}
}

// An interrupt ends the text, and is no failure; a reader that leaves is one.
func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := runCmd{Model: randomModel(t), MaxTokens: 99, IgnoreEOS: true}
	var log bytes.Buffer
	out := &limited{left: 3, then: func() error { cancel(); return nil }}
	if err := c.run(ctx, nil, out, &log); err != nil {
		t.Errorf("interrupted: %v, want no error", err)
	}
	pipe := errors.New("broken pipe")
	out = &limited{left: 3, then: func() error { return pipe }}
	if err := c.run(context.Background(), nil, out, &log); !errors.Is(err, pipe) {
		t.Errorf("reader left: %v, want %v", err, pipe)
	}
}

// limited is a writer that does then from the fourth write on.
type limited struct {
	left int
	then func() error
}

func (w *limited) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		if err := w.then(); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
