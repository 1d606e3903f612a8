package source

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
)

func testdata(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA names no folder of real models")
	}
	return filepath.Join(dir, name)
}

func open(t *testing.T, path, tokenizer string) format.FileSource {
	t.Helper()
	src, err := Open(path, tokenizer)
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

// eachTensor calls f with every tensor of two sources of one shape.
func eachTensor(t *testing.T, a, b format.Source, f func(s format.TensorSpec, a, b []float32)) {
	t.Helper()
	if ta, tb := a.Config().Tensors(), b.Config().Tensors(); !slices.Equal(ta, tb) {
		t.Fatalf("tensors differ:\n%+v\n%+v", *a.Config(), *b.Config())
	}
	for _, s := range a.Config().Tensors() {
		xa, xb := make([]float32, s.Out*max(s.In, 1)), make([]float32, s.Out*max(s.In, 1))
		if err := errors.Join(a.ReadRows(xa, s.Name, 0), b.ReadRows(xb, s.Name, 0)); err != nil {
			t.Fatal(err)
		}
		f(s, xa, xb)
	}
}

// One trained model, as llama2.c and as Hugging Face have it: the same bits, once rows
// are in the same order.
func TestStories260K(t *testing.T) {
	bin := open(t, testdata(t, "models/stories260K.bin"), testdata(t, "models/tok512.bin"))
	dir := open(t, testdata(t, "hf/stories260K"), "")
	eachTensor(t, bin, dir, func(s format.TensorSpec, a, b []float32) {
		for i := range a {
			if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
				t.Fatalf("%s: element %d is %v in llama2.c's file, %v in Hugging Face's", s.Name, i, a[i], b[i])
			}
		}
	})
	if n := bin.Config().Parameters(); n != 260032 {
		t.Errorf("%d parameters, want 260032", n)
	}
	const text = "Once upon a time, there was a little girl named Lily."
	ids := bin.Tokenizer().Encode(text)
	if other := dir.Tokenizer().Encode(text); !slices.Equal(ids, other) || len(ids) == 0 {
		t.Errorf("tok512.bin gives %d\ntokenizer.model gives %d", ids, other)
	}
	if got := bin.Tokenizer().Decode(ids); got != text {
		t.Errorf("decoded to %q", got)
	}
}

// The int8 file's values, rounded to float16, are those of the float16 shards.
func TestStories3M(t *testing.T) {
	bin := open(t, testdata(t, "models/stories3M-q80.bin"), "") // finds tok4096.bin
	dir := open(t, testdata(t, "hf/stories3M"), "")
	eachTensor(t, bin, dir, func(s format.TensorSpec, a, b []float32) {
		if d := dir.DType(s.Name); d != format.F16 {
			t.Errorf("%s is %s, want F16", s.Name, d)
		}
		if d := bin.DType(s.Name); (d == format.Q8) != (s.In > 0) {
			t.Errorf("%s is %s", s.Name, d)
		}
		for i := range a {
			// Half a unit in the last place: 2^-11 of the value, or 2^-25 where it is subnormal.
			tol := max(math.Abs(float64(a[i]))/2048, 1.0/(1<<25))
			if d := math.Abs(float64(a[i]) - float64(b[i])); d > tol {
				t.Fatalf("%s: element %d is %v in llama2.c's file, %v in Hugging Face's", s.Name, i, a[i], b[i])
			}
		}
	})
	if n := bin.Config().Parameters(); n != 3148224 {
		t.Errorf("%d parameters, want 3148224", n)
	}
}

func TestHash(t *testing.T) {
	seen := make(map[string]string)
	for _, name := range []string{"models/stories260K.bin", "hf/stories260K", "hf/stories3M"} {
		tokenizer := ""
		if strings.HasSuffix(name, ".bin") {
			tokenizer = testdata(t, "models/tok512.bin")
		}
		src := open(t, testdata(t, name), tokenizer)
		h, err := src.Hash(context.Background(), nil)
		if err != nil || !strings.HasPrefix(h, "sha256:") || len(h) != 71 {
			t.Errorf("%s: %q, %v", name, h, err)
		}
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[h] = name
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ data, names string }{
		"m.qat":         {"\x40\x00\x00\x00\x00\x00\x00\x00{}", "header length"},
		"m.safetensors": {"\x02\x00\x00\x00\x00\x00\x00\x00{}", "give its directory"},
		"model.bin":     {"PK\x03\x04", "PyTorch"},
		"old.bin":       {"\x80\x02\x8a\x0a", "PyTorch"},
		"m.ggml":        {"lmgg", "lmgg"},
		"empty":         {"", `""`},
		"m.gguf":        {"GGUF", "m.gguf"},
		"short.bin":     {"x", "short.bin"},
		"ak.dat":        {"24ka", "ak.dat"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, "")
		if !errors.Is(err, format.ErrUnsupported) && !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %q does not name %q", name, err, c.names)
		}
	}
	if _, err := Open(dir, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("a directory without config.json: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such path: %v", err)
	}
}
