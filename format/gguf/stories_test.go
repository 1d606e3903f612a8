package gguf

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/hf"
)

// A real model written as GGUF, q_proj and k_proj permuted as llama.cpp's converter
// does, reads as its Hugging Face directory does, up to the element type's rounding,
// which is worked out apart.
func TestStories(t *testing.T) {
	for _, c := range []struct {
		model string
		types []dtype
	}{
		{"hf/stories260K", []dtype{typeF32, typeF16, typeBF16}}, // its rows are no whole blocks
		{"hf/stories3M", []dtype{typeF32, typeF16, typeQ8_0, typeQ4_0}},
	} {
		dir, err := hf.Open(testdata(t, c.model), "")
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		config := dir.Config()
		rows := func(name string) []float32 {
			for _, s := range config.Tensors() {
				if s.Name == name {
					return read(t, dir, s)
				}
			}
			panic(name)
		}
		for _, d := range c.types {
			path := filepath.Join(t.TempDir(), "m.gguf")
			if err := os.WriteFile(path, draftOf(config, d, rows).write(), 0o600); err != nil {
				t.Fatal(err)
			}
			src, err := Open(path, "")
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			for _, s := range config.Tensors() {
				want := rows(s.Name)
				if s.In > 0 {
					want = decoded(want, d)
				}
				if got := read(t, src, s); !slices.Equal(got, want) {
					t.Errorf("%s as %v: %s differs", c.model, d, s.Name)
				}
			}
		}
	}
}

func read(t *testing.T, src format.Source, s format.TensorSpec) []float32 {
	t.Helper()
	x := make([]float32, s.Out*max(s.In, 1))
	if err := src.ReadRows(x, s.Name, 0); err != nil {
		t.Fatal(err)
	}
	return x
}

// The vocabulary gives the ids that llama.cpp publishes for it.
func TestVocabularyVectors(t *testing.T) {
	path := testdata(t, "tok/ggml-vocab-llama-spm.gguf")
	tok := vocabulary(t, path)
	input, err := os.ReadFile(path + ".inp")
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.ReadFile(path + ".out")
	if err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(string(input), "\n__ggml_vocab_test__\n")
	lines := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if len(texts)-1 != len(lines) && len(texts) != len(lines) {
		t.Fatalf("%d texts, %d lines of ids", len(texts), len(lines))
	}
	for i, line := range lines {
		var want []int32
		for _, s := range strings.Fields(line) {
			id, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, int32(id))
		}
		if got := tok.Encode(texts[i]); !slices.Equal(got, want) {
			t.Errorf("%q: got %d, want %d", texts[i], got, want)
		}
	}
}
