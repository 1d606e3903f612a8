package generate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/format/tokens"
)

// Windows is a text cut into samples of one length.
type Windows struct {
	Header tokens.Header
	ids    []int32
}

// ReadText tokenizes the text in a file as a whole and cuts it into windows of
// o.MaxTokens, each with BOS before it where samples begin with that; what is left at
// the end is dropped. By default all of them are samples.
func ReadText(t *Teacher, path string, o Options) (*Windows, error) {
	h, err := o.header(t, tokens.MethodText)
	if err != nil {
		return nil, err
	}
	if t.Tokenizer == nil {
		return nil, fmt.Errorf("%s has no tokenizer to read %s with: give one by --tokenizer", t.Name, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(text) > tokenizer.MaxText {
		return nil, fmt.Errorf("%s: %d bytes, at most %d: cut it into several", path, len(text), tokenizer.MaxText)
	}
	x := &Windows{h, t.Tokenizer.Encode(string(text))}
	n := int64(len(x.ids) / x.length())
	switch {
	case n == 0:
		return nil, fmt.Errorf("%s: %d tokens, one sample takes %d: give more text or shorter samples", path, len(x.ids), x.length())
	case h.Samples > n:
		return nil, fmt.Errorf("%s: %d tokens make %d samples, and %d are wanted", path, len(x.ids), n, h.Samples)
	case h.Samples == 0:
		x.Header.Samples = n
	}
	x.Header.Text = &tokens.Text{File: filepath.Base(path), SHA256: fmt.Sprintf("sha256:%x", sha256.Sum256(text))}
	return x, nil
}

// length is how many tokens of the text a sample has.
func (x *Windows) length() int {
	if x.Header.BOS >= 0 {
		return x.Header.MaxTokens - 1
	}
	return x.Header.MaxTokens
}

// Run writes the samples that w lacks. When ctx ends it returns; w then has whole
// samples.
func (x *Windows) Run(ctx context.Context, w *tokens.Writer) error {
	for i, end := w.Next(); i < end; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := tokens.Sample{Index: i}
		if x.Header.BOS >= 0 {
			s.IDs = append(s.IDs, x.Header.BOS)
		}
		n := x.length()
		s.IDs = append(s.IDs, x.ids[int(i)*n:][:n]...)
		if err := w.Write(&s); err != nil {
			return err
		}
	}
	return nil
}
