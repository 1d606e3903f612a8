package gguf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// testdata returns a path in the folder of real models, or skips.
func testdata(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA names no folder of real models")
	}
	return filepath.Join(dir, name)
}

// vocabulary reads the tokenizer of a file that holds no model.
func vocabulary(t *testing.T, path string) *tokenizer.Tokenizer {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := f.metadata.tokenizer()
	if err != nil || tok == nil {
		t.Fatalf("%s: tokenizer %v, error %v", path, tok, err)
	}
	return tok
}

func TestVocabularyOnly(t *testing.T) {
	path := testdata(t, "tok/ggml-vocab-llama-spm.gguf")
	tok := vocabulary(t, path)
	if tok.VocabSize() != 32000 || tok.BOS() != 1 || tok.EOS() != 2 || !tok.AddBOS() {
		t.Errorf("%d ids, %+v", tok.VocabSize(), tok.Special())
	}
	const text = "Hello world\n\n 3.14 ñ 🙂"
	if got := tok.Decode(tok.Encode(text)); got != text {
		t.Errorf("%q comes back as %q", text, got)
	}
	_, err := Open(path, "")
	if !errors.Is(err, format.ErrUnsupported) || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), "vocabulary without tensors") {
		t.Errorf("as a model: %v", err)
	}
}
