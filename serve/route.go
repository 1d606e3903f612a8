package serve

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
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
}

const modelsPath = "/v1/models/"

// endpoints by path; below modelsPath stand the models' ids, and pagePath answers for all files of the page.
var endpoints = map[string]endpoint{
	pagePath:          {"GET", (*Server).showPage},
	"/v1/completions": {"POST", (*Server).completions},
	"/v1/models":      {"GET", (*Server).listModels},
	modelsPath:        {"GET", (*Server).showModel},
	"/health":         {"GET", (*Server).health},
	"/metrics":        {"GET", (*Server).metrics},
	"/openapi.yaml":   {"GET", (*Server).openAPI},
	"/tokenize":       {"POST", (*Server).tokenize},
	"/detokenize":     {"POST", (*Server).detokenize},
}

// handle is fasthttp's handler. A panic below it would end the process: it ends the request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer func() { s.counters.answered(ctx.Response.StatusCode()) }()
	defer s.survive(ctx)
	if err := s.route(ctx); err != nil {
		writeError(ctx, asAPIError(err))
	}
}

// survive is deferred: it makes a panic the answer to one request.
func (s *Server) survive(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		s.panicked(p)
		ctx.Response.Reset()
		ctx.SetConnectionClose()
		writeError(ctx, internalError())
	}
}

func (s *Server) panicked(p any) {
	s.counters.panics.Inc()
	s.options.Log.Error("panic", "panic", p, "stack", string(debug.Stack()))
}

func (s *Server) route(ctx *fasthttp.RequestCtx) error {
	if twoLengths(ctx.Request.Header.RawHeaders()) {
		ctx.SetConnectionClose()
		return invalid(fasthttp.StatusBadRequest, "the request has both Content-Length and Transfer-Encoding")
	}
	path := string(ctx.Path())
	key := path
	if strings.HasPrefix(path, modelsPath) && len(path) > len(modelsPath) {
		key = modelsPath
	} else if path == modelsPath {
		key = "/v1/models"
	} else if _, ok := page[path]; ok {
		key = pagePath
	}
	e, ok := endpoints[key]
	if !ok {
		return &apiError{status: fasthttp.StatusNotFound, kind: invalidRequest, code: "unknown_url",
			message: fmt.Sprintf("no such path: %+.100q: there are %s", path, strings.Join(slices.Sorted(maps.Keys(endpoints)), ", "))}
	}
	method := string(ctx.Method())
	if method != e.method && !(method == "HEAD" && e.method == "GET") {
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
	defer s.survive(ctx)
	c := ctx.Conn()
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*conn); ok {
		c.linger.Store(true)
	}
	e := parseError(err, s.options.MaxBody)
	writeError(ctx, e)
	s.counters.answered(e.status)
}

func writeError(ctx *fasthttp.RequestCtx, e *apiError) {
	ctx.SetStatusCode(e.status)
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
