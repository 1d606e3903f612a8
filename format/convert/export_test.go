package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// exported is a model of odd shapes in a .qat file, with a tokenizer, tied or not.
func exported(t testing.TB, tied bool, o Options) *qat.File {
	t.Helper()
	m := tiny()
	m.config.TieWordEmbeddings = tied
	m.config.RopeScaling = &format.RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositionEmbeddings: 16}
	tok, err := synthTokenizer(&m.config)
	if err != nil {
		t.Fatal(err)
	}
	o.Tokenizer = tok
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := Quantize(context.Background(), m, path, o); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// all reads a whole tensor.
func all(t testing.TB, src format.Source, s format.TensorSpec) []float32 {
	t.Helper()
	x := make([]float32, s.Out*max(s.In, 1))
	if err := src.ReadRows(x, s.Name, 0); err != nil {
		t.Fatal(err)
	}
	return x
}

// sameModel compares what was read back with f's model: each number of want by equal.
func sameModel(t *testing.T, got, want format.Source, equal func(s format.TensorSpec, got, want float32) bool) {
	t.Helper()
	g, w := got.Config(), want.Config()
	if *g.RopeScaling != *w.RopeScaling {
		t.Errorf("RoPE is scaled by %+v, want %+v", *g.RopeScaling, *w.RopeScaling)
	}
	if len(g.Tensors()) != len(w.Tensors()) || g.BOSTokenID != w.BOSTokenID || len(g.EOSTokenIDs) != 1 || g.RMSNormEps != w.RMSNormEps ||
		g.MaxPositionEmbeddings != w.MaxPositionEmbeddings || g.RopeTheta != w.RopeTheta || g.NumKeyValueHeads != w.NumKeyValueHeads {
		t.Errorf("config is %+v, want %+v", g, w)
	}
	if got.ChatTemplate() != want.ChatTemplate() {
		t.Errorf("chat template is %q, want %q", got.ChatTemplate(), want.ChatTemplate())
	}
	sameTokenizer(t, got.Tokenizer(), want.Tokenizer())
	for _, s := range w.Tensors() {
		a, b := all(t, got, s), all(t, want, s)
		for i := range a {
			if !equal(s, a[i], b[i]) {
				t.Errorf("%s: number %d is %v, want %v", s.Name, i, a[i], b[i])
				break
			}
		}
	}
}

func sameTokenizer(t *testing.T, got, want *tokenizer.Tokenizer) {
	t.Helper()
	if got.Special() != want.Special() || got.VocabSize() != want.VocabSize() {
		t.Errorf("tokenizer of %d ids, %+v, want %d, %+v", got.VocabSize(), got.Special(), want.VocabSize(), want.Special())
	}
	for id := range int32(want.VocabSize()) {
		if got.Token(id) != want.Token(id) || got.IsSpecial(id) != want.IsSpecial(id) {
			t.Errorf("token %d is %q, want %q", id, got.Token(id), want.Token(id))
		}
	}
}

// A directory in float32 holds the numbers of the model, in 16 bits their roundings.
func TestHF(t *testing.T) {
	type set struct {
		bits   string
		lmHead int
		tied   bool
	}
	for _, set := range []set{{"4-8-4", 8, true}, {"4-8-4", 16, true}, {"8-8-8", 8, false}, {"16-16-16", 16, false}} {
		f := exported(t, set.tied, Options{Bits: bits(t, set.bits), LMHeadBits: set.lmHead, Float: qat.Float16})
		for float, round := range map[string]func(x float32) float32{
			qat.Float32:  func(x float32) float32 { return x },
			qat.Float16:  func(x float32) float32 { return quant.Float16To32(quant.Float16(x)) },
			qat.BFloat16: func(x float32) float32 { return quant.BFloat16To32(quant.BFloat16(x)) },
		} {
			dir := filepath.Join(t.TempDir(), "m")
			done, total := int64(0), int64(0)
			if err := HF(context.Background(), f, dir, float, func(d, n int64) { done, total = d, n }); err != nil {
				t.Fatal(err)
			}
			if want := f.Source().Config().Parameters(); done != want || total != want {
				t.Errorf("told of %d of %d parameters, want %d", done, total, want)
			}
			got, err := hf.Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			if want := set.tied && set.lmHead == 16; got.Config().TieWordEmbeddings != want {
				t.Errorf("%+v: read back as tied %t", set, !want)
			}
			sameModel(t, got, f.Source(), func(s format.TensorSpec, got, want float32) bool {
				return got == want && s.In == 0 || got == round(want)
			})
			got.Close()
		}
	}
}

// What is interrupted or cannot be written leaves nothing.
func TestHFLeavesNothing(t *testing.T) {
	f := exported(t, false, Options{Bits: bits(t, "4-8-4"), Float: qat.Float16})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err := HF(ctx, f, filepath.Join(dir, "m"), qat.Float32, func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	err = HF(context.Background(), f, dir, qat.Float32, nil)
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("over a folder with a file: %v", err)
	}
	if list, err := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%v is left (%v), want the file alone", list, err)
	}
}
