package serve

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/runtime/engine"
)

// shownToken is a token as it is shown to the caller.
type shownToken struct {
	text    string // its text, a control token's spelling, or "" for bytes that are no UTF-8 by themselves
	bytes   []byte // what it adds to a text; nil for a control token
	logprob float32
}

// tokenLogprobs is one token of a text, with its logprobs.
type tokenLogprobs struct {
	shownToken
	known  bool // the first token of a prompt has no logprob
	top    []shownToken
	offset int // characters of text before it
	start  int // bytes of generated text before it
}

// newTokenLogprobs describes a token that a decoder turned into text.
func newTokenLogprobs(t *tokenizer.Tokenizer, tok engine.Token, text string) tokenLogprobs {
	e := tokenLogprobs{shownToken: shown(t, tok.ID, text), known: true}
	e.logprob = finite(tok.Logprob)
	for _, alt := range tok.Top {
		s := e.shownToken
		if alt.ID != tok.ID {
			s = shown(t, alt.ID, "")
		}
		s.logprob = finite(alt.Logprob)
		e.top = append(e.top, s)
	}
	return e
}

// shown describes a token that a decoder turned into text: the first of a text is without the space that the
// tokenizer put before it.
func shown(t *tokenizer.Tokenizer, id int32, text string) shownToken {
	piece := t.Piece(id)
	switch {
	case piece == nil:
		return shownToken{text: t.Token(id)}
	case !utf8.Valid(piece):
		return shownToken{bytes: piece}
	case text != "" && string(piece) == " "+text:
		return shownToken{text: text, bytes: []byte(text)}
	}
	return shownToken{text: string(piece), bytes: piece}
}

// spelled is the token's text, or its bytes as \xe2\x82 behind prefix.
func (s shownToken) spelled(prefix string) string {
	if s.text != "" || len(s.bytes) == 0 {
		return s.text
	}
	var b strings.Builder
	b.WriteString(prefix)
	for _, c := range s.bytes {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// lowest stands for minus infinity, which JSON has not.
const lowest = -9999

func finite(x float32) float32 {
	if !(x > lowest) { // NaN too
		return lowest
	}
	return x
}
