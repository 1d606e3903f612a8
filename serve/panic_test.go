package serve

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/runtime/engine"
)

// panics is a Generator with a bug.
type panics struct{ *fake }

func (panics) Generate(context.Context, engine.Request) (<-chan engine.Event, error) {
	panic("a bug in a handler")
}

// survived wants one more request answered 500 than before, and none of it left.
func (s *site) survived(resp *http.Response, data []byte, panics uint64) {
	s.t.Helper()
	if _, message := wantError(s.t, resp, data, 500); strings.Contains(message, "bug") {
		s.t.Errorf("the answer tells of the inside: %s", message)
	}
	if !resp.Close {
		s.t.Error("the connection stays open, in whatever state")
	}
	if n := s.server.counters.panics.Get(); n != panics {
		s.t.Errorf("%d panics counted, want %d", n, panics)
	}
	soon(s.t, "the request is over", func() bool { return s.server.counters.running.Get() == 0 })
	s.complete(goodBody)
}

// Trap: a panic in a handler ends the process.
func TestPanicInAHandler(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	good := *s.server.model.Load()
	bad := good
	bad.Generator = panics{s.fake}
	s.server.SetModel(bad)
	resp, data := s.do("POST", "/v1/completions", goodBody)
	s.server.SetModel(good)
	s.survived(resp, data, 1)
	if _, data := s.do("GET", "/metrics", ""); !strings.Contains(string(data), "llmqat_panics_total 1\n") {
		t.Errorf("/metrics does not tell: %s", data)
	}
}

func TestPanicInEveryHandler(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	n := uint64(0)
	for path, good := range maps.Clone(endpoints) {
		bad := good
		bad.answer = func(_ *Server, ctx *fasthttp.RequestCtx) error {
			ctx.SetBodyString("half an answer")
			panic("a bug in " + path)
		}
		endpoints[path] = bad
		resp, data := s.do(good.method, strings.Replace(path, modelsPath, modelsPath+"tiny", 1), goodBody)
		endpoints[path] = good
		n++
		s.survived(resp, data, n)
	}
}

// What answers a request that cannot be read is a handler of its own.
func TestPanicInTheErrorHandler(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{})
	set := s.server.counters.set
	s.server.counters.set = nil
	resp, data := s.raw("no request\r\n\r\n")
	s.server.counters.set = set
	s.survived(resp, data, 1)
}

// A bug in the engine, which goes on, is a 500 or an error event.
func TestPanicInTheEngine(t *testing.T) {
	bug := &engine.PanicError{Value: "a bug in the engine"}
	broken := true
	f := &fake{}
	s := newSite(t, f, Options{})
	good := f.answer
	f.answer = func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		if !broken {
			good(ctx, r, send)
			return
		}
		send(token(r, 3+'a', 0))
		send(engine.Event{Kind: engine.KindDone, Err: bug})
	}
	resp, data := s.do("POST", "/v1/completions", goodBody)
	e := s.stream(`{"prompt":"x","stream":true}`)
	if got := e.text(); got != "a" {
		t.Errorf("got %q", got)
	}
	if line, _ := e.next(); !strings.Contains(line, `"internal_error"`) || strings.Contains(line, "bug") {
		t.Errorf("got %q, want an error event", line)
	}
	broken = false
	wantError(t, resp, data, 500)
	s.complete(goodBody)
}

// panickingStream has the stream of the next request, whose first token comes, and lets the second go.
func panickingStream(t *testing.T) (s *site, e *events, st *stream, goOn func()) {
	t.Helper()
	gate := make(chan struct{})
	s = newSite(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
		send(token(r, 3+'a', 0))
		<-gate
		send(token(r, 3+'b', 0))
		send(done(engine.ReasonStop))
	}}, Options{})
	handler := s.server.http.Handler
	s.server.http.Handler = func(ctx *fasthttp.RequestCtx) {
		handler(ctx)
		if one, ok := ctx.Response.BodyStream().(*stream); ok {
			st = one
		}
	}
	e = s.stream(`{"prompt":"x","stream":true}`)
	if got := e.text(); got != "a" {
		t.Errorf("got %q", got)
	}
	return s, e, st, func() { close(gate) }
}

// Trap: a panic while streaming ends the process.
func TestPanicInAStream(t *testing.T) {
	s, e, st, goOn := panickingStream(t)
	st.choices[0].decoder = nil
	goOn()
	line, _ := e.next()
	if !strings.Contains(line, `"internal_error"`) {
		t.Errorf("got %q, want an error event", line)
	}
	if _, err := e.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ends with %v, want it cut", err)
	}
	if n := s.server.counters.panics.Get(); n != 1 {
		t.Errorf("%d panics counted, want 1", n)
	}
	soon(t, "the request is over", func() bool { return s.server.counters.running.Get() == 0 })
	s.complete(goodBody)
}

// fasthttp closes a stream where nothing of ours stands below it.
func TestPanicInTheEndOfAStream(t *testing.T) {
	s, e, st, goOn := panickingStream(t)
	unwatch := st.unwatch
	st.unwatch = func() {
		unwatch()
		panic("a bug in the end")
	}
	goOn()
	if lines := e.rest(); lines[len(lines)-1] != "[DONE]" {
		t.Errorf("the stream ends with %q", lines)
	}
	soon(t, "the panic is counted", func() bool { return s.server.counters.panics.Get() == 1 })
	s.complete(goodBody)
}
