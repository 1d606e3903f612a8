// Package tokenizer turns text into token ids and back, for the vocabularies that LLaMA models come with:
// SentencePiece BPE (tokenizer.model, tokenizer.bin, GGUF) and byte-level BPE (tokenizer.json, GGUF).
package tokenizer

import (
	"fmt"
	"path/filepath"
)

// Tokenizer is a vocabulary and the rule that cuts text into it. It never changes after construction,
// so any number of goroutines may use one.
type Tokenizer struct {
	special Special
	unk     int32

	pieces []Piece          // the vocabulary, by id
	raw    []string         // what each id adds to a text, before dropped spaces and U+FFFD
	ids    map[string]int32 // Piece.Text to id; of duplicates the first

	model     model
	always    *matcher // tokens that Encode and EncodeSpecial both find before the model sees the text
	onRequest *matcher // the same and the special ones: what EncodeSpecial finds
	dropSpace bool     // the first space of a text stands for the dummy prefix

	fileName string
	file     []byte // as read; nil if File has to write it
}

// model encodes a stretch of text that holds no special token; first says that it begins the text.
type model interface {
	encode(dst []int32, text string, first bool) []int32
}

// Special names the ids around a text. An id of -1 means that there is none.
type Special struct {
	BOS, EOS int32
	AddBOS   bool // text is to be preceded by BOS
}

// Parse reads a tokenizer file: name says which kind, "tokenizer.model" or "tokenizer.json", and may have a
// directory before it. data is kept and must not change.
func Parse(name string, data []byte) (*Tokenizer, error) {
	switch base := filepath.Base(name); base {
	case modelName:
		return ParseSentencePiece(data)
	case jsonName:
		return ParseHF(data)
	default:
		return nil, fmt.Errorf("tokenizer file %q: want %s or %s: %w", name, modelName, jsonName, ErrUnsupported)
	}
}

const (
	modelName = "tokenizer.model"
	jsonName  = "tokenizer.json"
)

// File returns the name and the bytes from which Parse makes an equal tokenizer: those it was read from,
// otherwise a SentencePiece ModelProto or a tokenizer.json written now. The bytes must not be changed.
func (t *Tokenizer) File() (name string, data []byte) {
	if t.file != nil {
		return t.fileName, t.file
	}
	switch m := t.model.(type) {
	case *spaceBPE:
		return modelName, writeSentencePiece(t, m)
	case *byteLevel:
		return jsonName, writeHF(t, m)
	}
	panic(fmt.Sprintf("tokenizer: File: no writer for %T", t.model))
}

// HF is File for Hugging Face's libraries: a tokenizer.json always says in its post-processor whether BOS goes before a
// text, which one without leaves to the reader.
func (t *Tokenizer) HF() (name string, data []byte) {
	name, data = t.File()
	if name == jsonName {
		data = patchHF(data, t)
	}
	return name, data
}

// With returns the same tokenizer with other ids around a text, as tokenizer_config.json or a GGUF header
// may want; its File holds them too. Ids outside the vocabulary count as -1.
func (t *Tokenizer) With(s Special) *Tokenizer {
	s = t.checked(s)
	if s == t.special {
		return t
	}
	u := *t
	u.special = s
	if u.file == nil {
		return &u
	}
	if u.fileName == modelName {
		u.file = appendSpecial(t.file, s)
	} else {
		u.file = patchHF(t.file, &u)
	}
	return &u
}

func (t *Tokenizer) checked(s Special) Special {
	if !t.has(s.BOS) {
		s.BOS, s.AddBOS = -1, false
	}
	if !t.has(s.EOS) {
		s.EOS = -1
	}
	return s
}

// Special returns the ids around a text.
func (t *Tokenizer) Special() Special { return t.special }

// VocabSize returns the number of ids: they run from 0 to VocabSize()-1.
func (t *Tokenizer) VocabSize() int { return len(t.pieces) }

// BOS returns the id that begins a text, or -1.
func (t *Tokenizer) BOS() int32 { return t.special.BOS }

// EOS returns the id that ends a text, or -1.
func (t *Tokenizer) EOS() int32 { return t.special.EOS }

// UNK returns the id of characters outside the vocabulary, or -1.
func (t *Tokenizer) UNK() int32 { return t.unk }

// AddBOS says whether the model expects BOS before a text. Encode never adds it.
func (t *Tokenizer) AddBOS() bool { return t.special.AddBOS }

// Token returns the vocabulary's spelling of id ("▁the", "<0x0A>", "</s>"), or "" outside the vocabulary.
func (t *Tokenizer) Token(id int32) string {
	if !t.has(id) {
		return ""
	}
	return t.pieces[id].Text
}

// ID returns the id whose spelling is token, the smallest one if several have it.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// IsSpecial says whether id is a control token, which Encode never returns, or the unknown token.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return t.has(id) && (t.pieces[id].Kind == Control || t.pieces[id].Kind == Unknown)
}

// Piece returns the bytes that id adds to a text: nil for a control token and outside the vocabulary,
// one byte for a byte token, a leading space as a space.
func (t *Tokenizer) Piece(id int32) []byte {
	if !t.has(id) || t.raw[id] == "" {
		return nil
	}
	return []byte(t.raw[id])
}

func (t *Tokenizer) has(id int32) bool { return id >= 0 && int(id) < len(t.pieces) }
