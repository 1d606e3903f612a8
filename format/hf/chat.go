package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// chatTemplate returns how conversations are written for the model: chat_template.jinja or what tokenizer_config.json
// has, "" where there is neither. The files do not count among the model's: what it computes is the same without.
func (d *directory) chatTemplate() (string, error) {
	path := filepath.Join(d.path, "chat_template.jinja")
	file, err := mapped.Read(path, format.MaxChatTemplate)
	switch {
	case err == nil:
		return checkChat(path, string(file.Bytes()))
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	path = filepath.Join(d.path, "tokenizer_config.json")
	file, err = mapped.Read(path, maxTokenizerConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var f struct {
		ChatTemplate chatText `json:"chat_template"`
	}
	if err := json.Unmarshal(file.Bytes(), &f); err != nil {
		return "", fmt.Errorf("%s: %w: %w", path, err, format.ErrCorrupt)
	}
	return checkChat(path, string(f.ChatTemplate))
}

func checkChat(path, s string) (string, error) {
	if len(s) > format.MaxChatTemplate || !utf8.ValidString(s) {
		return "", fmt.Errorf("%s: chat template of %d bytes, want UTF-8 of at most %d: %w", path, len(s), format.MaxChatTemplate, format.ErrUnsupported)
	}
	return s, nil
}

// chatText is a template: a string, the one called default in a list of named ones, or null.
type chatText string

func (s *chatText) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*string)(s)) == nil {
		return nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(data, &named); err != nil {
		return fmt.Errorf("chat_template: want a string or a list of them with names: %w", err)
	}
	for _, t := range named {
		if t.Name == "default" {
			*s = chatText(t.Template)
		}
	}
	return nil
}
