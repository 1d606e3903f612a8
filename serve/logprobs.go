package serve

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/runtime/engine"
)

// logprobsJSON is OpenAI's legacy layout: one element a token in each list. The first token of a prompt has
// nulls. text_offset counts characters of the choice's text.
type logprobsJSON struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float32           `json:"token_logprobs"`
	TopLogprobs   []map[string]float32 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"`
}

func newLogprobs() *logprobsJSON {
	return &logprobsJSON{[]string{}, []*float32{}, []map[string]float32{}, []int{}}
}

func (l *logprobsJSON) add(e logprobEntry) {
	l.Tokens = append(l.Tokens, e.token)
	l.TokenLogprobs = append(l.TokenLogprobs, e.logprob)
	l.TopLogprobs = append(l.TopLogprobs, e.top)
	l.TextOffset = append(l.TextOffset, e.offset)
}

// append adds what o has, which may be nil.
func (l *logprobsJSON) append(o *logprobsJSON) {
	if o != nil {
		l.Tokens = append(l.Tokens, o.Tokens...)
		l.TokenLogprobs = append(l.TokenLogprobs, o.TokenLogprobs...)
		l.TopLogprobs = append(l.TopLogprobs, o.TopLogprobs...)
		l.TextOffset = append(l.TextOffset, o.TextOffset...)
	}
}

// logprobEntry is one token of a text.
type logprobEntry struct {
	token   string
	logprob *float32 // nil: none
	top     map[string]float32
	offset  int // characters of text before it
	start   int // bytes of generated text before it
}

// lowest stands for minus infinity, which JSON has not.
const lowest = -9999

func finite(x float32) float32 {
	if !(x > lowest) { // NaN too
		return lowest
	}
	return x
}

// newEntry describes a token that is shown as text. The chosen token is always among the top ones.
func newEntry(t *tokenizer.Tokenizer, text string, tok engine.Token) logprobEntry {
	lp := finite(tok.Logprob)
	e := logprobEntry{token: text, logprob: &lp, top: make(map[string]float32, len(tok.Top)+1)}
	for _, alt := range tok.Top {
		s := tokenText(t, alt.ID)
		if alt.ID == tok.ID {
			s = text
		}
		if old, twice := e.top[s]; !twice || finite(alt.Logprob) > old {
			e.top[s] = finite(alt.Logprob)
		}
	}
	if _, in := e.top[text]; !in {
		e.top[text] = lp
	}
	return e
}

// tokenText spells a token: its text, a control token as the vocabulary does, and bytes that are no UTF-8 by
// themselves as OpenAI does, bytes:\xe2\x82.
func tokenText(t *tokenizer.Tokenizer, id int32) string {
	piece := t.Piece(id)
	switch {
	case piece == nil:
		return t.Token(id)
	case utf8.Valid(piece):
		return string(piece)
	}
	var b strings.Builder
	b.WriteString("bytes:")
	for _, c := range piece {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// shownText is tokenText of a token that a decoder turned into text: the first of a text is without the space
// that the tokenizer put before it.
func shownText(t *tokenizer.Tokenizer, id int32, text string) string {
	s := tokenText(t, id)
	if s == " "+text && text != "" {
		return text
	}
	return s
}
