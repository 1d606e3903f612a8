// Package source opens a float model whatever its files are.
package source

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/gguf"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/llama2c"
	"github.com/llmqat/llmqat/format/qat"
)

// Open opens the model at path: a Hugging Face directory, a GGUF file, a llama2.c file
// or a .qat file of float weights. tokenizerPath names a tokenizer.model, tokenizer.json or llama2.c tokenizer.bin
// to use; "" means the model's own.
func Open(path, tokenizerPath string) (format.FileSource, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, "config.json")); err != nil {
			return nil, fmt.Errorf("%s: a model's directory has a config.json, or give a .gguf or llama2.c file: %w", path, err)
		}
		return hf.Open(path, tokenizerPath)
	}
	begin, err := readBegin(path, info)
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case gguf.Magic(begin):
		return gguf.Open(path, tokenizerPath)
	case llama2c.Magic(begin):
		return llama2c.Open(path, tokenizerPath)
	case ext == ".qat" && tokenizerPath != "":
		return nil, fmt.Errorf("%s: a .qat file has its tokenizer inside: leave --tokenizer out", path)
	case ext == ".qat":
		return qat.OpenFloat(path)
	case ext == ".safetensors":
		return nil, fmt.Errorf("%s: one file of a model, give its directory, which holds config.json too: %w", path, format.ErrUnsupported)
	case strings.HasPrefix(string(begin), "PK"), strings.HasPrefix(string(begin), "\x80\x02"):
		return nil, fmt.Errorf("%s: a PyTorch file, which can run code when it is read: save the model as safetensors: %w", path, format.ErrUnsupported)
	case ext == ".bin": // llama2.c's legacy format has no magic
		return llama2c.Open(path, tokenizerPath)
	}
	return nil, fmt.Errorf("%s: begins with %q, want a directory with config.json, a GGUF file or a llama2.c .bin: %w",
		path, begin, format.ErrUnsupported)
}

// readBegin returns the first bytes of a regular file, at most 4.
func readBegin(path string, info os.FileInfo) ([]byte, error) {
	if err := mapped.CheckRegular(path, info); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	begin, err := io.ReadAll(io.LimitReader(f, 4))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return begin, nil
}
