package llama2c

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// openTiny opens a model of s and its tokenizer.
func openTiny(t *testing.T, s shape) format.FileSource {
	t.Helper()
	dir := t.TempDir()
	model := filepath.Join(dir, "m.bin")
	put(t, model, s.write())
	put(t, filepath.Join(dir, "tokenizer.bin"), tokenizerBin(s.vocab))
	src, err := Open(model, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	return src
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLayout(t *testing.T) {
	const h, f, kv, vocab, layers, headDim = 8, 12, 4, 5, 2, 4
	// Where each tensor begins, in numbers from 1 after the header, worked out by hand
	// from export.py; the stride between layers follows from the order.
	type place struct{ begin, stride int }
	legacy := map[string]place{
		"input_layernorm.weight":          {41, h},
		"self_attn.q_proj.weight":         {57, h * h},
		"self_attn.k_proj.weight":         {185, kv * h},
		"self_attn.v_proj.weight":         {249, kv * h},
		"self_attn.o_proj.weight":         {313, h * h},
		"post_attention_layernorm.weight": {441, h},
		"mlp.gate_proj.weight":            {457, f * h},
		"mlp.down_proj.weight":            {649, f * h},
		"mlp.up_proj.weight":              {841, f * h},
		format.EmbedName:                  {1, 0},
		format.NormName:                   {1033, 0},
		format.LMHeadName:                 {1041, 0},
	}
	v1 := map[string]place{
		"input_layernorm.weight":          {1, h},
		"post_attention_layernorm.weight": {17, h},
		format.NormName:                   {33, 0},
		format.EmbedName:                  {41, 0},
		"self_attn.q_proj.weight":         {81, h * h},
		"self_attn.k_proj.weight":         {209, kv * h},
		"self_attn.v_proj.weight":         {273, kv * h},
		"self_attn.o_proj.weight":         {337, h * h},
		"mlp.gate_proj.weight":            {465, f * h},
		"mlp.down_proj.weight":            {657, f * h},
		"mlp.up_proj.weight":              {849, f * h},
		format.LMHeadName:                 {1041, 0},
	}
	for version, places := range []map[string]place{legacy, v1} {
		for _, shared := range []bool{true, false} {
			src := openTiny(t, tinyShape.with(version, shared))
			for _, s := range src.Config().Tensors() {
				tail := s.Name
				layer := 0
				for l := range layers {
					if rest, ok := strings.CutPrefix(s.Name, format.LayerName(l, "")); ok {
						tail, layer = rest, l
					}
				}
				p, ok := places[tail]
				if !ok {
					t.Fatalf("no place for %s", s.Name)
				}
				got := readAll(t, src, s)
				in := max(s.In, 1)
				for i, x := range got {
					row, col := i/in, i%in
					if strings.Contains(tail, "q_proj") || strings.Contains(tail, "k_proj") {
						row = unpermuted(row, headDim)
					}
					if want := float32(p.begin + layer*p.stride + row*in + col); x != want {
						t.Fatalf("version %d, shared %t: %s: number %d is %v, want %v", version, shared, s.Name, i, x, want)
					}
				}
			}
		}
	}
}

// unpermuted finds, by search, the interleaved row that the pairing of RoPE wants at r:
// row i and i+headDim/2 of a head are 2i and 2i+1 of the file.
func unpermuted(r, headDim int) int {
	head := r / headDim * headDim
	for i := range headDim / 2 {
		if head+i == r {
			return head + 2*i
		}
		if head+i+headDim/2 == r {
			return head + 2*i + 1
		}
	}
	panic("no row")
}

func TestInt8(t *testing.T) {
	src := openTiny(t, tinyShape.with(2, false))
	number := 0
	for _, name := range []string{"input_layernorm.weight", "post_attention_layernorm.weight"} {
		for l := range 2 {
			dst := make([]float32, 8)
			if err := src.ReadRows(dst, format.LayerName(l, name), 0); err != nil {
				t.Fatal(err)
			}
			for _, x := range dst {
				if number++; x != float32(number) {
					t.Fatalf("layer %d %s: %v, want %d", l, name, x, number)
				}
			}
		}
	}
	for _, s := range src.Config().Tensors() {
		if s.In == 0 {
			continue
		}
		if d := src.DType(s.Name); d != format.Q8 {
			t.Errorf("%s is %s, want Q8", s.Name, d)
		}
		for i, x := range readAll(t, src, s) {
			row, col := i/s.In, i%s.In
			if strings.Contains(s.Name, "q_proj") || strings.Contains(s.Name, "k_proj") {
				row = unpermuted(row, 4)
			}
			e := row*s.In + col
			if want := float32(e%251-125) * float32(math.Ldexp(1, -(e/4%5))); x != want {
				t.Fatalf("%s: number %d is %v, want %v", s.Name, i, x, want)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	src := openTiny(t, tinyShape)
	c := src.Config()
	if c.HeadDim != 4 || c.NumKeyValueHeads != 1 || !c.TieWordEmbeddings || c.BOSTokenID != 1 ||
		len(c.EOSTokenIDs) != 2 || c.RMSNormEps != 1e-5 || c.RopeTheta != 10000 || c.MaxPositionEmbeddings != 6 {
		t.Errorf("config is %+v", *c)
	}
	if tok := src.Tokenizer(); tok == nil || tok.VocabSize() != 5 {
		t.Errorf("tokenizer is %v", tok)
	}
	if h, err := src.Hash(context.Background(), nil); err != nil || len(h) != len("sha256:")+64 {
		t.Errorf("hash %q, %v", h, err)
	}
}

func TestTokenizerSearch(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "m.bin")
	put(t, model, tinyShape.write())
	want := func(sentinel error, words ...string) {
		t.Helper()
		src, err := Open(model, "")
		if sentinel == nil {
			if err != nil {
				t.Fatal(err)
			}
			src.Close()
			return
		}
		if !errors.Is(err, sentinel) {
			t.Errorf("got %v", err)
		}
		for _, w := range words {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%v: does not name %s", err, w)
			}
		}
	}
	want(fs.ErrNotExist, model, "tok5.bin", "tokenizer.bin")
	put(t, filepath.Join(dir, "tokenizer.bin"), tokenizerBin(6))
	want(format.ErrCorrupt, "tokenizer.bin", "5 ids")
	put(t, filepath.Join(dir, "tok5.bin"), tokenizerBin(5))
	want(nil)
	if _, err := Open(model, filepath.Join(dir, "tokenizer.bin")); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("a tokenizer of another vocabulary: %v", err)
	}
	if src, err := Open(model, filepath.Join(dir, "tok5.bin")); err != nil {
		t.Error(err)
	} else {
		src.Close()
	}
}

func readAll(t *testing.T, src format.Source, s format.TensorSpec) []float32 {
	t.Helper()
	dst := make([]float32, s.Out*max(s.In, 1))
	if err := src.ReadRows(dst, s.Name, 0); err != nil {
		t.Fatal(err)
	}
	return dst
}

func parseBytes(data []byte) error {
	_, err := parse(mapped.Memory("m.bin", data))
	return err
}
