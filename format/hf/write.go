package hf

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/internal/replace"
)

// Model is what a directory is written of.
type Model struct {
	Config       *format.Config
	Tokenizer    *tokenizer.Tokenizer // nil where there is none
	ChatTemplate string               // in Jinja; "" where there is none
	Float        string               // the type in which the model computes: float16, bfloat16 or float32
	Quantization any                  // quantization_config; nil where there is none
	Tensors      []Tensor             // in the order of the files
}

// Tensor is one tensor of a directory to be written.
type Tensor struct {
	Name  string
	DType string // as safetensors has it: F32, F16, BF16, I8, I32 or I64
	Shape []int
	// Write writes the tensor's numbers, little-endian and row-major.
	Write func(w io.Writer) error
}

// size is what t takes in a file, bytes.
func (t *Tensor) size() int64 {
	n := map[string]int64{"I8": 1, "F16": 2, "BF16": 2, "F32": 4, "I32": 4, "I64": 8}[t.DType]
	if n == 0 {
		panic(fmt.Sprintf("hf: Write: tensor %q of type %q", t.Name, t.DType))
	}
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// Write writes m as the directory dir, which must be new or empty; it is there once it is whole. Tensors are written
// one after the other and never held: Tensor.Write streams.
func Write(dir string, m *Model) error {
	return replace.Dir(dir, func(dir string) error {
		files := map[string]any{
			"config.json":            m.config(),
			"generation_config.json": m.generation(),
		}
		if t := m.Tokenizer; t != nil {
			name, data := t.HF()
			if err := writeFile(dir, name, data); err != nil {
				return err
			}
			files["tokenizer_config.json"] = m.tokenizerConfig()
		}
		for name, v := range files {
			if err := writeJSON(dir, name, v); err != nil {
				return err
			}
		}
		return m.weights(dir)
	})
}

func writeFile(dir, name string, data []byte) error {
	return replace.File(filepath.Join(dir, name), func(w io.Writer) error { _, err := w.Write(data); return err })
}

// writeJSON writes v for people, too.
func writeJSON(dir, name string, v any) error {
	return replace.File(filepath.Join(dir, name), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}
