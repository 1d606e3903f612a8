package source

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/internal/weights"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Tokenizer reads the tokenizer at path, of a model that need not be here: a tokenizer.model,
// a tokenizer.json, a Hugging Face directory or a .qat file.
func Tokenizer(path string) (*tokenizer.Tokenizer, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return hf.Tokenizer(path)
	case filepath.Ext(path) == ".qat":
		return inside(path)
	case filepath.Ext(path) == ".bin":
		return nil, fmt.Errorf("%s: want a tokenizer.model, a tokenizer.json, a Hugging Face directory or a .qat file: %w", path, format.ErrUnsupported)
	}
	t, _, err := weights.ReadTokenizer(path, math.MaxInt32)
	return t, err
}

// inside copies the tokenizer of a .qat file, which it closes.
func inside(path string) (*tokenizer.Tokenizer, error) {
	f, err := qat.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	t := f.Header().Tokenizer
	if t == nil {
		return nil, fmt.Errorf("%s: no tokenizer inside", path)
	}
	name, data := t.File()
	again, err := tokenizer.Parse(name, bytes.Clone(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return again.With(t.Special()), nil
}
