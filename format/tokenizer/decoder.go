package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Position says where in a text a Decoder begins.
type Position uint8

const (
	AtStart     Position = iota // the first id begins the text: SentencePiece's dummy space is dropped
	AfterPrompt                 // text stands before it: a leading space is a space
)

// Decode returns the text of ids, a whole text. Control tokens and ids outside the vocabulary add nothing,
// a byte that is not UTF-8 becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	d := t.NewDecoder(AtStart)
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(d.Push(id))
	}
	text.WriteString(d.Flush())
	return text.String()
}

// Decoder decodes one id at a time. What Push and Flush return makes up Decode of all ids.
// It belongs to one goroutine.
type Decoder struct {
	t     *Tokenizer
	start bool
	held  []byte // the begin of a UTF-8 sequence, at most 3 bytes
}

// NewDecoder returns a decoder of the ids that follow at.
func (t *Tokenizer) NewDecoder(at Position) *Decoder {
	return &Decoder{t: t, start: at == AtStart}
}

// Push returns the text that id completes: whole UTF-8 sequences, perhaps none.
func (d *Decoder) Push(id int32) string {
	if !d.t.has(id) {
		return ""
	}
	text := d.t.raw[id]
	if d.start && text != "" {
		d.start = false
		if d.t.dropSpace && text[0] == ' ' && d.t.pieces[id].Kind != Byte {
			text = text[1:]
		}
	}
	if len(d.held) == 0 && utf8.ValidString(text) {
		return text
	}
	d.held = append(d.held, text...)
	return d.emit(false)
}

// Flush returns what was held back, an incomplete sequence, as one U+FFFD a byte. Call it after the last id.
func (d *Decoder) Flush() string { return d.emit(true) }

// emit takes runes from held; unless all, it leaves a sequence that may yet be completed.
func (d *Decoder) emit(all bool) string {
	var text []byte
	b := d.held
	for len(b) > 0 && (all || utf8.FullRune(b)) {
		r, n := utf8.DecodeRune(b)
		text = utf8.AppendRune(text, r)
		b = b[n:]
	}
	d.held = append(d.held[:0], b...)
	return string(text)
}
