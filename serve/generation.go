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

// generation is one request under way: the choices of all its prompts. It is the same for every API, and refers to
// nothing of fasthttp's, which a stream would outlive.
type generation struct {
	server  *Server
	call    *call
	id      string // as the API shows it
	created time.Time
	model   *Model
	request *request
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

// generate answers with what the model makes of the request that parse reads, in one piece or as a stream.
func (s *Server) generate(ctx *fasthttp.RequestCtx, parse func(body []byte, m *Model) (*request, *apiError)) error {
	m, err := s.current()
	if err != nil {
		return err
	}
	r, bad := parse(ctx.PostBody(), m)
	if bad != nil {
		return bad
	}
	if r.stream && !ctx.Request.Header.IsHTTP11() {
		return badParam("stream", "stream: needs HTTP/1.1")
	}
	showPrefix(ctx, m, r)
	g, err := s.start(ctx.Conn(), callOf(ctx), m, r)
	if err != nil {
		return err
	}
	if r.stream {
		ctx.SetContentType("text/event-stream")
		ctx.Response.Header.Set("Cache-Control", "no-cache")
		ctx.Response.Header.Set("X-Accel-Buffering", "no")
		ctx.Response.ImmediateHeaderFlush = true
		ctx.Response.SetBodyStream(&stream{generation: g}, -1) // its Close ends g
		return nil
	}
	defer g.end()
	answer, err := g.collect()
	if err == nil {
		writeJSON(ctx, answer)
	}
	return err
}

// start hands all choices of r to the generator, or none. Who gets a generation must end it.
func (s *Server) start(conn net.Conn, c *call, m *Model, r *request) (*generation, error) {
	g := &generation{
		server: s, call: c, model: m, request: r,
		id: r.api.idPrefix + rand.Text(), created: time.Now(),
		events: make(chan choiceEvent),
	}
	g.ctx, g.cancel = context.WithCancelCause(s.ctx)
	g.unwatch = s.leaving.watch(conn, g.cancel)
	s.counters.running.Inc()
	defer func() {
		if !c.accepted { // not where the generator panics, either
			g.end()
		}
	}()
	for _, p := range r.prompts {
		for i := range r.bestOf {
			one := newChoice(len(g.choices), r, p, m.Tokenizer)
			g.choices = append(g.choices, one)
			if !one.generates() {
				continue
			}
			if err := g.run(one, r.engineRequest(p, i, c.client)); err != nil {
				if all := len(r.prompts) * r.bestOf; all > 1 && errors.Is(err, engine.ErrQueueFull) {
					return nil, queueFull(fmt.Sprintf("the queue has no room for all %d choices of this request: ask for fewer at once, or try again later", all))
				}
				return nil, err
			}
		}
	}
	c.accepted = true
	s.counters.promptTokens.Add(g.usage().PromptTokens)
	return g, nil
}

// run begins the generation of one choice and sends its events to g.events.
func (g *generation) run(one *choice, r engine.Request) error {
	var ctx context.Context
	ctx, one.cancel = context.WithCancel(g.ctx)
	events, err := g.model.Generator.Generate(ctx, r)
	if err != nil {
		return err
	}
	g.open++
	go func() {
		for e := range events {
			select {
			case g.events <- choiceEvent{one, e}:
			case <-g.ctx.Done():
				return
			}
		}
	}()
	return nil
}

// end frees everything; generations still running are cancelled.
func (g *generation) end() {
	if context.Cause(g.ctx) == errLeft {
		g.server.counters.clientsLeft.Inc()
		g.call.ended = clientLeft().name()
	}
	g.cancel(nil)
	g.unwatch()
	g.server.counters.generatedTokens.Add(g.usage().CompletionTokens)
	g.server.counters.running.Dec()
	g.call.generated(g)
}

// apply takes an event to its choice. A choice that has finished gets nothing more.
func (g *generation) apply(e choiceEvent) (piece, error) {
	g.call.event(e.choice, e.event)
	if e.choice.finish != "" {
		return piece{}, nil
	}
	p, err := e.choice.event(e.event)
	if p.finish != "" {
		g.open--
	}
	return p, err
}

// collect waits for all choices to finish.
func (g *generation) collect() (*answerJSON, error) {
	whole := make([]piece, len(g.choices))
	texts := make([]strings.Builder, len(g.choices))
	add := func(one *choice, p piece) {
		texts[one.index].WriteString(p.text)
		whole[one.index].logprobs = append(whole[one.index].logprobs, p.logprobs...)
	}
	for _, one := range g.choices {
		add(one, one.begin())
	}
	for g.open > 0 {
		select {
		case e := <-g.events:
			p, err := g.apply(e)
			if err != nil {
				return nil, g.explain(err)
			}
			add(e.choice, p)
		case <-g.ctx.Done():
			return nil, g.explain(context.Cause(g.ctx))
		}
	}
	answer := g.head(g.request.api.object)
	for i, one := range g.best() {
		p := whole[one.index]
		p.text, p.finish = texts[one.index].String(), one.finish
		one.index = i
		answer.Choices = append(answer.Choices, g.request.api.choice(one, p))
	}
	answer.Usage = g.usage()
	return answer, nil
}

// explain turns the failure of a choice into the answer, and logs what the caller is not told.
func (g *generation) explain(err error) *apiError {
	if cause := context.Cause(g.ctx); cause != nil {
		err = cause // the choice only saw its context end
	}
	if err == errLeft {
		return clientLeft()
	}
	e := asAPIError(err)
	if e.status == fasthttp.StatusInternalServerError || errors.Is(err, engine.ErrLost) {
		g.server.options.Log.Error("completion failed", "request_id", g.call.id, "id", g.id, "err", err)
	}
	return e
}
