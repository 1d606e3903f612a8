package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels/quant"
)

// evalFiles are a model of noise, the same in 16 bits, and a text.
func evalFiles(t *testing.T) (model, teacher, text string) {
	t.Helper()
	dir := t.TempDir()
	model, teacher, text = randomModel(t), filepath.Join(dir, "t.qat"), filepath.Join(dir, "text")
	err := convert.Synth(context.Background(), format.Config{
		HiddenSize: 64, IntermediateSize: 96, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 16,
		VocabSize: 400, MaxPositionEmbeddings: 80, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}, teacher, convert.Options{Bits: quant.Bits{W: 16, A: 16, KV: 16}, Seed: 1})
	if err == nil {
		err = os.WriteFile(text, []byte(strings.Repeat("a line of words\n", 40)), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return model, teacher, text
}

func (c evalCmd) outcome(t *testing.T) string {
	t.Helper()
	c.Threads, c.Device = 1, "cpu"
	var out, log bytes.Buffer
	if err := c.run(context.Background(), &out, &log); err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	return out.String()
}

func TestEval(t *testing.T) {
	model, teacher, text := evalFiles(t)
	table := evalCmd{Model: model, Teacher: teacher, textFlags: textFlags{Text: text}}.outcome(t)
	for _, want := range []string{"4-8-4, KV cache head-zp", "windows of 80 tokens", `\nperplexity +\d+`, `\nKL to the teacher +\d`, `99 %: \d`, `same first +\d.*%`} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	alone := evalCmd{Model: model, textFlags: textFlags{Text: text, Length: 50, Hash: true}}.outcome(t)
	if strings.Contains(alone, "eacher") || !strings.Contains(alone, "windows of 50 tokens") || !regexp.MustCompile("SHA-256 of logits +[0-9a-f]{64}\n").MatchString(alone) {
		t.Errorf("without a teacher:\n%s", alone)
	}

	type report struct {
		Bits    string
		Windows int
		Tokens  int
		KL      *struct{ Value, SE float64 }
		Each    []struct{ Tokens int }
		Text    struct{ Length, Dropped int }
	}
	read := func(c evalCmd) (r report) {
		c.JSON = true
		if err := json.Unmarshal([]byte(c.outcome(t)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := read(evalCmd{Model: model, Teacher: teacher, textFlags: textFlags{Text: text, Each: true}})
	if r.Bits != "4-8-4" || r.Text.Length != 80 || r.Tokens != 79*r.Windows || len(r.Each) != r.Windows || r.KL == nil || r.KL.Value <= 0 || r.KL.SE <= 0 {
		t.Errorf("%+v", r)
	}
	if r = read(evalCmd{Model: model, textFlags: textFlags{Text: text}}); r.KL != nil || r.Each != nil {
		t.Errorf("%+v: a teacher's numbers without one, or windows not asked for", r)
	}
}

// A text's documents are what stands between its dividers, and nothing else.
func TestEvalDivides(t *testing.T) {
	model, _, text := evalFiles(t)
	if err := os.WriteFile(text, []byte("one\n--\ntwo\n\nthree--\n--\n\n--\nfour\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if out := (evalCmd{Model: model, textFlags: textFlags{Text: text, Divider: "--"}}).outcome(t); !strings.Contains(out, ": 3 windows") || !strings.Contains(out, "BOS before each") {
		t.Errorf("3 documents:\n%s", out)
	}
}

func TestEvalFails(t *testing.T) {
	model, teacher, text := evalFiles(t)
	for _, c := range []struct {
		c    evalCmd
		says string
	}{
		{evalCmd{Model: model + "x.qat", textFlags: textFlags{Text: text}}, "no such file"},
		{evalCmd{Model: model, textFlags: textFlags{Text: text + "x"}}, "no such file"},
		{evalCmd{Model: model, textFlags: textFlags{Text: text, Length: 101}}, "this model takes 1 to 100"},
		{evalCmd{Model: model, Teacher: teacher, textFlags: textFlags{Text: text, Length: 90}}, "t.qat: context of 90 tokens"},
		{evalCmd{Model: model, textFlags: textFlags{Text: text, Length: 1}}, "--length 1"},
		{evalCmd{Model: model, textFlags: textFlags{Data: []string{text}}}, "the header of a shard"},
		{evalCmd{Model: model, textFlags: textFlags{Data: []string{text}, Wikitext: true}}, "with --text"},
		{evalCmd{Model: model, textFlags: textFlags{Text: text, Divider: "<|endoftext|>"}}, `divider "<|endoftext|>"`},
		{evalCmd{Model: model, textFlags: textFlags{Text: text, Each: true}}, "--json"},
		{evalCmd{Model: model, textFlags: textFlags{Text: text}, foreseeFlags: foreseeFlags{Bits: "8-8-8"}}, "is evaluated as it is, at 4-8-4"},
		{evalCmd{Model: "float", textFlags: textFlags{Text: text}, foreseeFlags: foreseeFlags{Bits: "4-8-4"}}, "is evaluated as it is, at 16-16-16"},
		{evalCmd{Model: model, Device: "cuda:999", textFlags: textFlags{Text: text}}, "device cuda:999"},
	} {
		var out, log bytes.Buffer
		if err := c.c.run(context.Background(), &out, &log); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error %v, want one that says %q", c.c, err, c.says)
		}
	}
	if _, log, status := llmqat(t, nil, "eval", "--model", model); status == 0 || !strings.Contains(log, "--text") {
		t.Errorf("without a text: status %d, %s", status, log)
	}
}

// A float teacher's temporary file is gone in the end, also where the end came early.
func TestEvalOfAFloatModel(t *testing.T) {
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no float model")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	_, _, text := evalFiles(t)
	float := filepath.Join(dir, "hf", "stories260K")
	out := evalCmd{Model: float, Teacher: float, textFlags: textFlags{Text: text, Length: 64}}.outcome(t)
	if !regexp.MustCompile(`KL to the teacher +0\.00000 `).MatchString(out) || !strings.Contains(out, "16-16-16") {
		t.Errorf("a float model and itself:\n%s", out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var log bytes.Buffer
	c := evalCmd{Model: float, Device: "cpu", textFlags: textFlags{Text: text, Length: 64}}
	if err := c.run(ctx, &log, &log); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "llmqat-eval-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
