package weights

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// ReadTokenizer reads the tokenizer file at path for a model of vocab ids, and tells
// its kind: .bin is llama2.c's, one that begins with a brace is Hugging Face's
// tokenizer.json, any other SentencePiece's tokenizer.model.
func ReadTokenizer(path string, vocab int) (*tokenizer.Tokenizer, *mapped.File, error) {
	file, err := mapped.Read(path, tokenizer.MaxFile)
	if err != nil {
		return nil, nil, err
	}
	data := file.Bytes()
	var t *tokenizer.Tokenizer
	switch {
	case filepath.Ext(path) == ".bin":
		t, err = tokenizer.ParseLlama2C(data, vocab)
	case bytes.HasPrefix(bytes.TrimLeft(data[:min(len(data), 4096)], " \t\r\n"), []byte("{")):
		t, err = tokenizer.Parse("tokenizer.json", data)
	default:
		t, err = tokenizer.Parse("tokenizer.model", data)
	}
	if err != nil {
		return nil, nil, TokenizerError(path, err)
	}
	if err := format.CheckTokenizer(t, vocab); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, file, nil
}

// TokenizerError names the file of an error of package tokenizer, and makes it one of
// package format's.
func TokenizerError(path string, err error) error {
	kind := format.ErrCorrupt
	if errors.Is(err, tokenizer.ErrUnsupported) {
		kind = format.ErrUnsupported
	}
	return fmt.Errorf("%s: %w (%w)", path, err, kind)
}
