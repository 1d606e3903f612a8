package serve

import (
	"context"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/runtime/engine"
)

// choice is the text of one completion as it grows: tokens go in, pieces that may be shown come out.
type choice struct {
	index   int
	request *request
	prompt  prompt
	t       *tokenizer.Tokenizer
	cancel  context.CancelFunc // ends the generation

	decoder   *tokenizer.Decoder
	stop      stopMatcher
	generated int             // tokens
	logprob   float64         // the sum of theirs, where the engine was asked for logprobs
	cached    int             // tokens of the prompt that did not need to be computed
	decoded   int             // bytes of generated text, shown or held
	shown     int             // bytes of generated text
	runes     int             // characters of the choice's whole text, shown or held
	entries   []tokenLogprobs // of tokens not shown yet, in order
	finish    string          // the finish reason, or "" while it goes on
}

// piece is what one event adds to a choice.
type piece struct {
	text     string
	logprobs []tokenLogprobs // of the tokens that text ends with or was held back for; none if not asked for
	finish   string          // on the last one: "stop" or "length"
}

func (p piece) empty() bool {
	return p.text == "" && p.finish == "" && len(p.logprobs) == 0
}

func newChoice(index int, r *request, p prompt, t *tokenizer.Tokenizer) *choice {
	at := tokenizer.AfterPrompt
	if p.text == "" {
		at = tokenizer.AtStart
	}
	return &choice{index: index, request: r, prompt: p, t: t, decoder: t.NewDecoder(at),
		stop: stopMatcher{stops: r.stops}, cancel: func() {}}
}

// generates says whether the choice needs the model.
func (c *choice) generates() bool { return c.request.maxTokens > 0 || c.wantsLogprobs() }

func (c *choice) wantsLogprobs() bool { return c.request.logprobs >= 0 }

// begin returns what stands before the first event: the prompt, if it is to be echoed, unless its logprobs
// are still to come with it.
func (c *choice) begin() piece {
	var p piece
	if c.request.echo && !c.wantsLogprobs() {
		p.text = c.prompt.text
		c.runes = utf8.RuneCountInString(p.text)
	}
	if !c.generates() {
		c.finish, p.finish = "length", "length"
	}
	return p
}

// event returns what e adds. After the piece with a finish reason there is no other.
func (c *choice) event(e engine.Event) (piece, error) {
	c.cached = max(c.cached, e.Cached) // a stop string ends the choice before its last event
	switch e.Kind {
	case engine.KindPrompt:
		return c.echo(e.Prompt), nil
	case engine.KindToken:
		return c.token(e.Token), nil
	}
	if e.Err != nil {
		return piece{}, e.Err
	}
	if e.Reason == engine.ReasonStop { // EOS
		c.count(e.Token)
		if c.request.echo && c.wantsLogprobs() { // who scores a text counts on the lists' length
			c.entry(e.Token, "")
		}
	}
	return c.done(string(e.Reason)), nil
}

// echo returns the prompt with its logprobs: tokens are those of the last ids.
func (c *choice) echo(tokens []engine.Token) piece {
	p := piece{text: c.prompt.text}
	d := c.t.NewDecoder(tokenizer.AtStart)
	first := len(c.prompt.ids) - len(tokens)
	for i, id := range c.prompt.ids {
		text := d.Push(id)
		if i < c.prompt.shown {
			continue
		}
		e := tokenLogprobs{shownToken: shown(c.t, id, text)}
		if i > c.prompt.shown && i >= first {
			e = newTokenLogprobs(c.t, tokens[i-first], text)
		}
		e.offset = c.runes
		c.runes += utf8.RuneCountInString(text)
		p.logprobs = append(p.logprobs, e)
	}
	c.runes = utf8.RuneCountInString(p.text)
	return p
}

func (c *choice) count(tok engine.Token) {
	c.generated++
	c.logprob += float64(finite(tok.Logprob))
}

func (c *choice) token(tok engine.Token) piece {
	c.count(tok)
	text := c.decoder.Push(tok.ID)
	if c.wantsLogprobs() {
		c.entry(tok, text)
	}
	return c.grow(text, "")
}

// entry adds a generated token, whose text is not counted yet, to those with logprobs.
func (c *choice) entry(tok engine.Token, text string) {
	e := newTokenLogprobs(c.t, tok, text)
	e.offset, e.start = c.runes, c.decoded
	c.entries = append(c.entries, e)
}

// done ends the text: what was held back is shown.
func (c *choice) done(reason string) piece { return c.grow(c.decoder.Flush(), reason) }

// grow moves newly decoded text through the stop strings. A reason says that it is the last.
func (c *choice) grow(s, reason string) piece {
	c.decoded += len(s)
	c.runes += utf8.RuneCountInString(s)
	show, stopped := c.stop.push(s)
	switch {
	case stopped:
		c.finish = "stop"
		c.cancel()
	case reason != "":
		show += c.stop.flush()
		c.finish = reason
	}
	c.shown += len(show)
	return piece{text: show, logprobs: c.release(reason != "" && !stopped), finish: c.finish}
}

// release returns the logprobs of the tokens of which some text is shown now, or of all that are left. A token
// that reaches into a stop string is there, one that lies in it or behind it is not.
func (c *choice) release(all bool) []tokenLogprobs {
	n := 0
	for n < len(c.entries) && (all || c.entries[n].start < c.shown) {
		n++
	}
	out := c.entries[:n:n]
	c.entries = c.entries[n:]
	return out
}
