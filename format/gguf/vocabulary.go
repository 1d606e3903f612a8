package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// tokenizer makes the tokenizer that the metadata describe, nil where they describe none.
func (m metadata) tokenizer() (*tokenizer.Tokenizer, error) {
	model, err := m.string("tokenizer.ggml.model", "")
	switch {
	case err != nil:
		return nil, err
	case model == "" || model == "none" || model == "no_vocab":
		return nil, nil
	case model != "llama" && model != "gpt2":
		return nil, fmt.Errorf("tokenizer.ggml.model is %.80q, want llama or gpt2: %w", model, format.ErrUnsupported)
	}
	pieces, err := m.pieces()
	if err != nil {
		return nil, err
	}
	pre, err := m.string("tokenizer.ggml.pre", "")
	if err != nil {
		return nil, err
	}
	special, err := m.special(model == "llama" || addsBOS[pre])
	if err != nil {
		return nil, err
	}
	if model == "llama" {
		var n tokenizer.Normalizer
		if n.DummyPrefix, err = m.bool("tokenizer.ggml.add_space_prefix", true); err != nil {
			return nil, err
		}
		if n.RemoveExtra, err = m.bool("tokenizer.ggml.remove_extra_whitespaces", false); err != nil {
			return nil, err
		}
		return tokenizer.NewSentencePiece(pieces, n, special)
	}
	list, ok, err := m.array("tokenizer.ggml.merges", kindString, -1)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("no tokenizer.ggml.merges: %w", format.ErrCorrupt)
	}
	merges := make([]string, list.count)
	list.strings(func(i int, s string) { merges[i] = s })
	return tokenizer.NewByteLevel(pieces, merges, pre, special)
}

// chatTemplate returns how conversations are written, "" where the file does not say.
func (m metadata) chatTemplate() (string, error) {
	const key = "tokenizer.chat_template"
	s, err := m.string(key, "")
	if err == nil && (len(s) > format.MaxChatTemplate || !utf8.ValidString(s)) {
		err = fmt.Errorf("%s of %d bytes, want UTF-8 of at most %d: %w", key, len(s), format.MaxChatTemplate, format.ErrUnsupported)
	}
	return s, err
}

// addsBOS are the byte-level vocabularies for which llama.cpp puts BOS before a text
// where the file does not say.
var addsBOS = map[string]bool{"llama3": true, "llama-v3": true, "llama-bpe": true, "falcon3": true}

// pieces returns the vocabulary.
func (m metadata) pieces() ([]tokenizer.Piece, error) {
	const tokens, scores, types = "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"
	list, ok, err := m.array(tokens, kindString, -1)
	if err != nil {
		return nil, err
	}
	if !ok || list.count == 0 {
		return nil, fmt.Errorf("no %s: %w", tokens, format.ErrCorrupt)
	}
	pieces := make([]tokenizer.Piece, list.count)
	list.strings(func(i int, s string) { pieces[i].Text = s })
	if v, ok, err := m.array(scores, kindFloat32, list.count); err != nil {
		return nil, err
	} else if ok {
		for i := range pieces {
			pieces[i].Score = math.Float32frombits(binary.LittleEndian.Uint32(v.data[4*i:]))
		}
	}
	if v, ok, err := m.array(types, kindInt32, list.count); err != nil {
		return nil, err
	} else if ok {
		for i := range pieces {
			k := binary.LittleEndian.Uint32(v.data[4*i:])
			if k > uint32(tokenizer.Byte) {
				return nil, fmt.Errorf("%s: token %d is of type %d, want 0 to %d: %w", types, i, int32(k), tokenizer.Byte, format.ErrCorrupt)
			}
			pieces[i].Kind = tokenizer.Kind(k)
		}
	}
	return pieces, nil
}

func (m metadata) special(addBOS bool) (tokenizer.Special, error) {
	var s tokenizer.Special
	bos, eos, err := m.ends()
	if err != nil {
		return s, err
	}
	if s.AddBOS, err = m.bool("tokenizer.ggml.add_bos_token", addBOS); err != nil {
		return s, err
	}
	s.BOS, s.EOS = int32(bos), -1
	if len(eos) > 0 {
		s.EOS = int32(eos[0])
	}
	return s, nil
}
