package task

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// encoder turns texts into requests as lm-evaluation-harness does for models of Hugging Face: with
// BOS before the context where the tokenizer says that texts begin with one.
type encoder struct {
	tok *tokenizer.Tokenizer
	max int // tokens of a request

	text string // the last context, since a question's choices share it
	ids  []int32
}

// request asks for continuation after context, cut from the left to fit; cut says that it had to be.
func (e *encoder) request(context, continuation string) (r score.Request, cut bool, err error) {
	if n := len(context) + len(continuation); n > tokenizer.MaxText {
		return r, false, fmt.Errorf("a prompt of %d bytes, at most %d: give fewer --shots", n, tokenizer.MaxText)
	}
	trimmed := strings.TrimRightFunc(context, isSpace)
	context, continuation = trimmed, context[len(trimmed):]+continuation
	if context == "" {
		if r, err = e.alone(continuation); err != nil {
			return r, false, err
		}
	} else {
		if context != e.text {
			e.text, e.ids = context, e.encode(context)
		}
		whole := e.encode(context + continuation)
		if len(whole) <= len(e.ids) {
			return r, false, fmt.Errorf("%q after %q has no token of its own in this tokenizer, nothing can be scored", continuation, tail(context))
		}
		r = score.Request{Context: e.ids, Continuation: whole[len(e.ids):]}
	}
	if over := len(r.Context) + len(r.Continuation) - e.max; over > 0 {
		all := append(append([]int32{}, r.Context...), r.Continuation...)[over:]
		at := max(1, len(r.Context)-over)
		return score.Request{Context: all[:at:at], Continuation: all[at:]}, true, nil
	}
	return r, false, nil
}

// alone asks for a text with nothing before it but what begins one: BOS, or EOS where there is none.
func (e *encoder) alone(continuation string) (score.Request, error) {
	first := e.tok.BOS()
	if first < 0 {
		first = e.tok.EOS()
	}
	ids := e.tok.Encode(continuation)
	if first < 0 || len(ids) > 0 && ids[0] == first {
		if len(ids) < 2 {
			return score.Request{}, fmt.Errorf("%q after nothing: one token, and no BOS or EOS before it", continuation)
		}
		return score.Request{Context: ids[:1], Continuation: ids[1:]}, nil
	}
	if len(ids) == 0 {
		return score.Request{}, fmt.Errorf("%q has no tokens", continuation)
	}
	return score.Request{Context: []int32{first}, Continuation: ids}, nil
}

func (e *encoder) encode(text string) []int32 {
	ids := e.tok.Encode(text)
	if e.tok.AddBOS() && e.tok.BOS() >= 0 {
		ids = append([]int32{e.tok.BOS()}, ids...)
	}
	return ids
}

// tail is a text's end, for messages.
func tail(text string) string {
	at := max(0, len(text)-40)
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[at:]
}
