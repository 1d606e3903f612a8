package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Encode returns the ids of text, without BOS. The spelling of a special token in it ("</s>") is plain text;
// user-defined tokens are found. A byte that is not UTF-8 counts as U+FFFD. Encode("") is empty.
func (t *Tokenizer) Encode(text string) []int32 { return t.encodeAround(text, t.always.finder()) }

// EncodeSpecial is Encode, but the spelling of a special token becomes that token. Only text that the
// server wrote itself, such as a chat template, should pass through it.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	return t.encodeAround(text, t.onRequest.finder())
}

// EncodeTrusted is EncodeSpecial where trusted says so of text[i:j], and Encode elsewhere: for a text that the
// server wrote around what others did. In a text that is not UTF-8 nothing is trusted.
func (t *Tokenizer) EncodeTrusted(text string, trusted func(i, j int) bool) []int32 {
	if t.onRequest == nil || !utf8.ValidString(text) {
		return t.Encode(text)
	}
	return t.encodeAround(text, func(text string, i int) *entry {
		if e := t.onRequest.longest(text[i:]); e != nil && trusted(i, i+len(e.text)) {
			return e
		}
		if t.always == nil {
			return nil
		}
		return t.always.longest(text[i:])
	})
}

// encodeAround cuts text at the tokens that find has where they begin, and gives what is between them to the model.
// A nil find has none.
func (t *Tokenizer) encodeAround(text string, find func(text string, i int) *entry) []int32 {
	if len(text) > MaxText {
		panic(fmt.Sprintf("tokenizer: Encode: text has %d bytes, at most %d", len(text), MaxText))
	}
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	if find == nil {
		return t.model.encode(nil, text, true)
	}
	var ids []int32
	done := 0 // text before it is encoded
	for i := 0; i < len(text); {
		e := find(text, i)
		if e == nil || e.singleWord && insideWord(text, i, i+len(e.text)) {
			i++
			continue
		}
		before, end := text[done:i], i+len(e.text)
		if e.lstrip {
			before = strings.TrimRightFunc(before, unicode.IsSpace)
		}
		if e.rstrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if before != "" {
			ids = t.model.encode(ids, before, done == 0)
		}
		ids = append(ids, e.id)
		i, done = end, end
	}
	if done < len(text) {
		ids = t.model.encode(ids, text[done:], done == 0)
	}
	return ids
}

// insideWord says whether text[i:j] has a letter, digit or underscore as its neighbour.
func insideWord(text string, i, j int) bool {
	l, _ := utf8.DecodeLastRuneInString(text[:i])
	r, _ := utf8.DecodeRuneInString(text[j:])
	return wordRune(l) || wordRune(r)
}

func wordRune(r rune) bool {
	return r == '_' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r))
}
