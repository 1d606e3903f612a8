package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/weights"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Tokenizer reads the tokenizer of a model's directory, whose weights need not be there.
func Tokenizer(dir string) (*tokenizer.Tokenizer, error) {
	d := &directory{path: dir}
	defer func() { weights.CloseAll(d.files) }()
	c, err := d.config()
	if err != nil {
		return nil, err
	}
	t, err := d.openTokenizer(c.VocabSize)
	if err == nil && t == nil {
		err = fmt.Errorf("%s: neither a tokenizer.model nor a tokenizer.json: %w", dir, fs.ErrNotExist)
	}
	return t, err
}

// openTokenizer reads the directory's tokenizer, nil where it has none.
func (d *directory) openTokenizer(vocab int) (*tokenizer.Tokenizer, error) {
	t, err := d.tokenizerFile("tokenizer.model", vocab)
	// Tokens that were added to a SentencePiece vocabulary stand in tokenizer.json only.
	if errors.Is(err, fs.ErrNotExist) || err == nil && t.VocabSize() < vocab {
		whole, jsonErr := d.tokenizerFile("tokenizer.json", vocab)
		if t == nil && jsonErr != nil {
			err = jsonErr
		} else if jsonErr == nil {
			t, err = whole, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := d.read("tokenizer_config.json", maxTokenizerConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := special(file.Bytes(), t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	return t.With(s), nil
}

// tokenizerFile reads one of the two kinds.
func (d *directory) tokenizerFile(name string, vocab int) (*tokenizer.Tokenizer, error) {
	t, file, err := weights.ReadTokenizer(filepath.Join(d.path, name), vocab)
	if err == nil {
		d.files = append(d.files, file)
	}
	return t, err
}

// special returns the ids around a text as tokenizer_config.json wants them; what it
// does not say, and names that t does not have, stay as they are in t.
func special(data []byte, t *tokenizer.Tokenizer) (tokenizer.Special, error) {
	s := t.Special()
	var f struct {
		AddBOS *bool     `json:"add_bos_token"`
		BOS    tokenText `json:"bos_token"`
		EOS    tokenText `json:"eos_token"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return s, fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	if id, ok := t.ID(string(f.BOS)); ok && f.BOS != "" {
		s.BOS = id
	}
	if id, ok := t.ID(string(f.EOS)); ok && f.EOS != "" {
		s.EOS = id
	}
	s.AddBOS = or(f.AddBOS, s.AddBOS)
	return s, nil
}

// tokenText is a token's spelling: a string, an object that has it as content, or null.
type tokenText string

func (s *tokenText) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*string)(s)) == nil {
		return nil
	}
	var added struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(data, &added); err != nil {
		return err
	}
	*s = tokenText(added.Content)
	return nil
}
