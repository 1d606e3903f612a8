package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/runtime/engine"
)

// completionJSON is the answer, and each chunk of a streamed one.
type completionJSON struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []choiceJSON `json:"choices"`
	Usage   any          `json:"usage,omitempty"` // *usageJSON; a nil one is written as null
}

type choiceJSON struct {
	Index        int           `json:"index"`
	Text         string        `json:"text"`
	Logprobs     *logprobsJSON `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

// usageJSON counts tokens: each prompt once, BOS included, and all that were generated, also those that a stop
// string took away.
type usageJSON struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

func newChoiceJSON(index int, p piece) choiceJSON {
	c := choiceJSON{Index: index, Text: p.text, Logprobs: p.logprobs}
	if p.finish != "" {
		c.FinishReason = &p.finish
	}
	return c
}

// completions answers POST /v1/completions.
func (s *Server) completions(ctx *fasthttp.RequestCtx) error {
	m, err := s.current()
	if err != nil {
		return err
	}
	r, bad := parseCompletion(ctx.PostBody(), m)
	if bad != nil {
		return bad
	}
	if r.stream && !ctx.Request.Header.IsHTTP11() {
		return badParam("stream", "stream: needs HTTP/1.1")
	}
	c, err := s.startCompletion(ctx.Conn(), m, r)
	if err != nil {
		return err
	}
	if r.stream {
		ctx.SetContentType("text/event-stream")
		ctx.Response.Header.Set("Cache-Control", "no-cache")
		ctx.Response.Header.Set("X-Accel-Buffering", "no")
		ctx.Response.ImmediateHeaderFlush = true
		ctx.Response.SetBodyStream(&stream{server: s, completion: c}, -1) // its Close ends c
		return nil
	}
	defer c.end()
	answer, err := c.collect()
	if err == nil {
		writeJSON(ctx, answer)
	}
	return err
}

// completion is one request under way. It refers to nothing of fasthttp's, which a stream would outlive.
type completion struct {
	server  *Server
	head    completionJSON // what all chunks share
	request *completionRequest
	choices []*choice
	events  chan choiceEvent
	open    int // choices that have not finished

	ctx     context.Context // ends with end, when the client leaves or when the server stops
	cancel  context.CancelCauseFunc
	unwatch func()
}

// choiceEvent is an event of one choice.
type choiceEvent struct {
	choice *choice
	event  engine.Event
}

// startCompletion hands all choices of r to the generator, or none. Who gets a completion must end it.
func (s *Server) startCompletion(conn net.Conn, m *Model, r *completionRequest) (*completion, error) {
	c := &completion{
		server: s, request: r,
		head:   completionJSON{ID: "cmpl-" + rand.Text(), Object: "text_completion", Created: time.Now().Unix(), Model: m.Name},
		events: make(chan choiceEvent),
	}
	c.ctx, c.cancel = context.WithCancelCause(s.ctx)
	c.unwatch = s.leaving.watch(conn, c.cancel)
	s.counters.running.Inc()
	for _, p := range r.prompts {
		for i := range r.n {
			one := newChoice(len(c.choices), r, p, m.Tokenizer)
			c.choices = append(c.choices, one)
			if !one.generates() {
				continue
			}
			if err := c.start(one, m.Generator, r.engineRequest(p, i)); err != nil {
				c.end()
				if all := len(r.prompts) * r.n; all > 1 && errors.Is(err, engine.ErrQueueFull) {
					return nil, queueFull(fmt.Sprintf("the queue has no room for all %d choices of this request: ask for fewer at once, or try again later", all))
				}
				return nil, err
			}
		}
	}
	s.counters.promptTokens.Add(c.usage().PromptTokens)
	return c, nil
}

// start begins the generation of one choice and sends its events to c.events.
func (c *completion) start(one *choice, g Generator, r engine.Request) error {
	var ctx context.Context
	ctx, one.cancel = context.WithCancel(c.ctx)
	events, err := g.Generate(ctx, r)
	if err != nil {
		return err
	}
	c.open++
	go func() {
		for e := range events {
			select {
			case c.events <- choiceEvent{one, e}:
			case <-c.ctx.Done():
				return
			}
		}
	}()
	return nil
}

// end frees everything; generations still running are cancelled.
func (c *completion) end() {
	if context.Cause(c.ctx) == errLeft {
		c.server.counters.clientsLeft.Inc()
	}
	c.cancel(nil)
	c.unwatch()
	c.server.counters.generatedTokens.Add(c.usage().CompletionTokens)
	c.server.counters.running.Dec()
}

// apply takes an event to its choice. A choice that has finished gets nothing more.
func (c *completion) apply(e choiceEvent) (piece, error) {
	if e.choice.finish != "" {
		return piece{}, nil
	}
	p, err := e.choice.event(e.event)
	if p.finish != "" {
		c.open--
	}
	return p, err
}

// collect waits for all choices to finish.
func (c *completion) collect() (*completionJSON, error) {
	texts := make([]strings.Builder, len(c.choices))
	answer := c.head
	answer.Choices = make([]choiceJSON, len(c.choices))
	add := func(one *choice, p piece) {
		out := &answer.Choices[one.index]
		texts[one.index].WriteString(p.text)
		if out.Logprobs == nil {
			out.Logprobs = p.logprobs
		} else {
			out.Logprobs.append(p.logprobs)
		}
	}
	for _, one := range c.choices {
		add(one, one.begin())
	}
	for c.open > 0 {
		select {
		case e := <-c.events:
			p, err := c.apply(e)
			if err != nil {
				return nil, c.explain(err)
			}
			add(e.choice, p)
		case <-c.ctx.Done():
			return nil, c.explain(context.Cause(c.ctx))
		}
	}
	for i, one := range c.choices {
		answer.Choices[i] = newChoiceJSON(i, piece{texts[i].String(), answer.Choices[i].Logprobs, one.finish})
	}
	answer.Usage = c.usage()
	return &answer, nil
}

// explain turns the failure of a choice into the answer, and logs what the caller is not told.
func (c *completion) explain(err error) *apiError {
	if cause := context.Cause(c.ctx); cause != nil {
		err = cause // the choice only saw its context end
	}
	if err == errLeft {
		return clientLeft()
	}
	e := asAPIError(err)
	if e.status == fasthttp.StatusInternalServerError || errors.Is(err, engine.ErrLost) {
		c.server.options.Log.Error("completion failed", "id", c.head.ID, "err", err)
	}
	return e
}

func (c *completion) usage() *usageJSON {
	u := &usageJSON{}
	for _, p := range c.request.prompts {
		u.PromptTokens += len(p.ids)
	}
	for _, one := range c.choices {
		u.CompletionTokens += one.generated
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return u
}
