// Package llama2c reads the models of karpathy's llama2.c: the legacy format and
// version 1 (float32), and version 2 (int8 in groups with float32 scales).
//
// Legacy: seven int32 (dim, hidden_dim, layers, heads, KV heads, vocabulary, which is
// negative where lm_head is not the embedding, and context), then float32 tensors.
// Versions 1 and 2: a header of 256 bytes (magic "ak42", version, the same seven, a
// byte that is 1 where lm_head is the embedding, version 2's group size), the norms in
// float32, the other tensors. All numbers are little-endian.
package llama2c

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/internal/weights"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Open opens a model. llama2.c keeps the vocabulary in a file of its own:
// tokenizerPath, or where that is "", tok<vocabulary size>.bin or tokenizer.bin beside
// the model.
func Open(path, tokenizerPath string) (format.FileSource, error) {
	file, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := parse(file)
	if err == nil {
		var vocab *mapped.File
		m.Tokenizer, vocab, err = openTokenizer(path, tokenizerPath, m.Config.VocabSize)
		m.Files = append(m.Files, vocab)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return m.Source(), nil
}

// Magic reports whether a file that begins with these bytes is of version 1 or later.
// The legacy format cannot be told by its begin.
func Magic(begin []byte) bool { return bytes.HasPrefix(begin, []byte("24ka")) }

// parse finds the tensors of a model. It reads nothing but the header.
func parse(file *mapped.File) (weights.Model, error) {
	m := weights.Model{Path: file.Path, Files: []*mapped.File{file}}
	err := mapped.Guard(file.Path, func() error {
		h, err := parseHeader(file.Path, file.Bytes())
		if err != nil {
			return err
		}
		m.Config = h.config
		m.Tensors, err = h.tensors(file.Path, file.Bytes())
		return err
	})
	return m, err
}

// openTokenizer reads the tokenizer at path, or one that lies beside the model and
// has its vocabulary.
func openTokenizer(model, path string, vocab int) (*tokenizer.Tokenizer, *mapped.File, error) {
	if path != "" {
		return weights.ReadTokenizer(path, vocab)
	}
	dir := filepath.Dir(model)
	names := []string{fmt.Sprintf("tok%d.bin", vocab), "tokenizer.bin"}
	var bad error
	for _, name := range names {
		t, file, err := weights.ReadTokenizer(filepath.Join(dir, name), vocab)
		switch {
		case err == nil:
			return t, file, nil
		case !errors.Is(err, fs.ErrNotExist):
			bad = errors.Join(bad, err)
		}
	}
	if bad != nil {
		return nil, nil, fmt.Errorf("%s: no tokenizer of %d ids beside it: give its path, --tokenizer: %w", model, vocab, bad)
	}
	return nil, nil, fmt.Errorf("%s: a llama2.c model holds no tokenizer, and %s has neither %s nor %s: give the tokenizer's path, --tokenizer: %w",
		model, dir, names[0], names[1], fs.ErrNotExist)
}
