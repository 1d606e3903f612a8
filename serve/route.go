package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// endpoint answers one path. The error it returns becomes the answer, as OpenAI's error JSON.
type endpoint struct {
	method string // GET answers HEAD too
	answer func(*Server, *fasthttp.RequestCtx) error
	access access
}

// access says who may use an endpoint, where the server has keys.
type access uint8

const (
	withKey access = iota // whoever has one
	open                  // everybody
	probe                 // everybody, and so often that its log lines are of level debug
	scrape                // as probe with Options.PublicMetrics, else whoever has a key
)

const modelsPath = "/v1/models/"

// endpoints by path; below modelsPath stand the models' ids, and pagePath answers for all files of the page.
var endpoints = map[string]endpoint{
	pagePath:               {method: "GET", answer: (*Server).showPage, access: open},
	"/v1/completions":      {method: "POST", answer: (*Server).completions},
	"/v1/chat/completions": {method: "POST", answer: (*Server).chatCompletions},
	"/v1/models":           {method: "GET", answer: (*Server).listModels},
	modelsPath:             {method: "GET", answer: (*Server).showModel},
	"/health":              {method: "GET", answer: (*Server).health, access: probe},
	"/ready":               {method: "GET", answer: (*Server).readiness, access: probe},
	"/metrics":             {method: "GET", answer: (*Server).metrics, access: scrape},
	"/openapi.yaml":        {method: "GET", answer: (*Server).openAPI, access: open},
	"/tokenize":            {method: "POST", answer: (*Server).tokenize},
	"/detokenize":          {method: "POST", answer: (*Server).detokenize},
}

// handle is fasthttp's handler. A panic below it would end the process: it ends the request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c := s.begin(ctx)
	defer c.survive(ctx) // a bug in what counts and logs, too
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
	c.guard(ctx, func() error { return s.route(ctx, c) })
	if !ctx.Response.IsBodyStream() { // else it has only begun
		c.answered(ctx.Response.StatusCode())
	}
}

// guard answers with the error of f, or with a 500 where it panics.
func (c *call) guard(ctx *fasthttp.RequestCtx, f func() error) {
	defer c.survive(ctx)
	if err := f(); err != nil {
		c.fail(ctx, asAPIError(err))
	}
}

// survive is deferred: it makes a panic the answer to one request.
func (c *call) survive(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		c.panicked(p)
		ctx.Response.Reset()
		ctx.Response.Header.Set(requestID, c.id)
		ctx.SetConnectionClose()
		c.fail(ctx, internalError())
	}
}

// panicked counts and logs a bug that the call has met.
func (c *call) panicked(p any) {
	c.server.counters.panics.Inc()
	c.server.options.Log.Error("panic", "request_id", c.id, "panic", p, "stack", string(debug.Stack()))
}

// fail answers with an error.
func (c *call) fail(ctx *fasthttp.RequestCtx, e *apiError) {
	if m := c.server.model.Load(); m != nil && e.status == fasthttp.StatusTooManyRequests {
		e.retry = c.server.pace.retryAfter(m.Generator.Stats())
	}
	c.ended = e.name()
	writeError(ctx, e)
}

func (s *Server) route(ctx *fasthttp.RequestCtx, c *call) error {
	if c := ours(ctx.Conn()); c != nil && c.excess {
		ctx.SetConnectionClose()
		return unavailable(fmt.Sprintf("more than %d connections are open: close some, or try again later", s.options.MaxConns))
	}
	if twoLengths(ctx.Request.Header.RawHeaders()) {
		ctx.SetConnectionClose()
		return invalid(fasthttp.StatusBadRequest, "the request has both Content-Length and Transfer-Encoding")
	}
	if err := s.checkOrigin(ctx); err != nil {
		return err
	}
	if preflight(ctx) {
		return nil
	}
	path := c.path
	key := path
	if strings.HasPrefix(path, modelsPath) && len(path) > len(modelsPath) {
		key = modelsPath
	} else if path == modelsPath {
		key = "/v1/models"
	} else if _, ok := page[path]; ok {
		key = pagePath
	}
	e, ok := endpoints[key]
	c.quiet = e.access >= probe
	if e.access == withKey || e.access == scrape && !s.options.PublicMetrics {
		client, err := s.authorize(&ctx.Request.Header)
		if err != nil {
			return err
		}
		if client != "" {
			c.client = client
		}
	}
	if !ok {
		return &apiError{status: fasthttp.StatusNotFound, kind: invalidRequest, code: "unknown_url",
			message: fmt.Sprintf("no such path: %+.100q: there are %s", path, strings.Join(slices.Sorted(maps.Keys(endpoints)), ", "))}
	}
	if c.method != e.method && !(c.method == "HEAD" && e.method == "GET") {
		return &apiError{status: fasthttp.StatusMethodNotAllowed, kind: invalidRequest, code: "method_not_allowed",
			message: path + " wants " + e.method, allow: e.method}
	}
	return e.answer(s, ctx)
}

// twoLengths says whether raw header lines carry both lengths a body can have: what one side takes for the body
// another takes for the next request. fasthttp lets the first win silently.
func twoLengths(raw []byte) bool {
	var length, encoding bool
	for line := range bytes.Lines(raw) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch name = bytes.TrimSpace(name); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length = true
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			encoding = true
		}
	}
	return length && encoding
}

// handleParseError answers what never became a request. fasthttp closes the connection after it.
func (s *Server) handleParseError(ctx *fasthttp.RequestCtx, err error) {
	call := s.begin(ctx)
	defer call.survive(ctx)
	call.guard(ctx, func() error { return s.unreadable(ctx, err) })
	call.answered(ctx.Response.StatusCode())
}

// unreadable returns the answer to a request that fasthttp could not read.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) error {
	if c := ours(ctx.Conn()); c != nil {
		c.linger.Store(true)
	}
	if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		if _, stranger := s.authorize(&ctx.Request.Header); stranger != nil {
			return stranger
		}
	}
	return parseError(err, s.options.MaxBody)
}

func writeError(ctx *fasthttp.RequestCtx, e *apiError) {
	ctx.SetStatusCode(e.status)
	if e.status == fasthttp.StatusUnauthorized {
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	}
	if e.retry > 0 {
		ctx.Response.Header.Set("Retry-After", strconv.Itoa(e.retry))
	}
	if e.allow != "" {
		ctx.Response.Header.Set("Allow", e.allow)
	}
	writeJSON(ctx, errorBody{e})
}

func writeJSON(ctx *fasthttp.RequestCtx, v any) {
	ctx.SetContentType("application/json")
	ctx.SetBody(appendJSON(nil, v))
}

// appendJSON appends v and a newline to dst, with < and > as they are. Every v here can be encoded.
func appendJSON(dst []byte, v any) []byte {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return buf.Bytes()
}
