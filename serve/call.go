package serve

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/runtime/engine"
)

const requestID = "X-Request-Id"

// call is one HTTP request as the log and the metrics see it. It refers to nothing of fasthttp's, and belongs to
// the goroutine that answers.
type call struct {
	server       *Server
	id           string // the client's X-Request-Id or our own
	client       string // whose key it is, else the address
	method, path string
	start        time.Time
	quiet        bool   // a probe or a scrape: logged at level debug
	ended        string // why there is no result: the error's code

	// Of what the model answers.
	accepted bool       // not refused
	usage    *usageJSON // nil for all else
	finish   []string   // of its choices, each reason once
	queued   time.Duration
	ttft     time.Duration         // 0 while there is no token
	last     map[*choice]time.Time // of each choice's newest token
}

// begin notes what a request says of itself, and names it in the answer.
func (s *Server) begin(ctx *fasthttp.RequestCtx) *call {
	c := &call{server: s, client: ctx.RemoteIP().String(), start: time.Now(),
		method: string(ctx.Method()), path: string(ctx.Path()), id: string(ctx.Request.Header.Peek(requestID))}
	if !validID(c.id) {
		c.id = "req-" + rand.Text()
	}
	ctx.Response.Header.Set(requestID, c.id)
	ctx.SetUserValue(callKey{}, c)
	return c
}

type callKey struct{}

// callOf returns the call of the request in ctx.
func callOf(ctx *fasthttp.RequestCtx) *call { return ctx.UserValue(callKey{}).(*call) }

// validID says whether s may stand in headers and logs as it is: UUIDs, trace ids and the like.
func validID(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.:/+=", r))
	}) < 0
}

// event times what arrives for a choice.
func (c *call) event(one *choice, e engine.Event) {
	c.queued = max(c.queued, e.Waited)
	if e.Kind != engine.KindToken {
		return
	}
	now := time.Now()
	if c.ttft == 0 {
		c.ttft = now.Sub(c.start)
		c.last = map[*choice]time.Time{}
		c.server.counters.firstToken.observe(c.ttft)
	} else if before, ok := c.last[one]; ok {
		c.server.counters.interToken.observe(now.Sub(before))
	}
	c.last[one] = now
}

// generated takes what there is to say of g, which has ended.
func (c *call) generated(g *generation) {
	c.usage = g.usage()
	for _, one := range g.choices {
		if one.finish != "" && !slices.Contains(c.finish, one.finish) {
			c.finish = append(c.finish, one.finish)
		}
	}
	if c.accepted {
		c.server.counters.duration.observe(time.Since(c.start))
		c.server.counters.queued.observe(c.queued)
	}
}

// answered counts and logs the call, once its last byte is written.
func (c *call) answered(status int) {
	c.server.counters.answered(status)
	level := slog.LevelInfo
	switch {
	case c.quiet && status < 400:
		level = slog.LevelDebug
	case status >= 500 && !c.quiet:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("request_id", c.id), slog.String("client", c.client),
		slog.String("method", c.method), slog.String("path", truncate(c.path)), slog.Int("status", status), milliseconds("duration_ms", time.Since(c.start))}
	if u := c.usage; u != nil {
		attrs = append(attrs, milliseconds("queue_ms", c.queued), milliseconds("ttft_ms", c.ttft), slog.Int("prompt_tokens", u.PromptTokens),
			slog.Int("cached_tokens", u.PromptTokensDetails.CachedTokens), slog.Int("generated_tokens", u.CompletionTokens))
	}
	if len(c.finish) > 0 {
		attrs = append(attrs, slog.String("finish", strings.Join(c.finish, ",")))
	}
	if c.ended != "" {
		attrs = append(attrs, slog.String("ended", c.ended))
	}
	c.server.options.Log.LogAttrs(context.Background(), level, "request", attrs...)
}

// truncate keeps a line of the log short.
func truncate(path string) string { return path[:min(len(path), 200)] }

// milliseconds is a duration that reads the same in text and in JSON.
func milliseconds(name string, d time.Duration) slog.Attr {
	return slog.Float64(name, float64(d.Microseconds())/1000)
}
