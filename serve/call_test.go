package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmqat/llmqat/runtime/engine"
)

// logBuffer is a log that other goroutines write.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines returns what was logged as "request", each with its attributes.
func (l *logBuffer) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if m["msg"] == "request" {
			lines = append(lines, m)
		}
	}
	return lines
}

func newLog() (*logBuffer, *slog.Logger) {
	l := &logBuffer{}
	return l, slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Every request leaves one line, with how it went and without what it said.
func TestAccessLog(t *testing.T) {
	l, log := newLog()
	s := newTCPSite(t, &fake{}, Options{Log: log, Keys: readKeys(t, "alice:sk-alice")})
	const auth = "Authorization: Bearer sk-alice"
	for _, c := range []struct {
		method, path, body string
		want               string // of the line, without times
	}{
		{"POST", "/v1/completions", `{"prompt":"hello","temperature":0}`, "INFO alice POST /v1/completions 200 finish=stop usage=2/3"},
		{"POST", "/v1/completions", `{"prompt":"hello","stream":true,"max_tokens":1}`, "INFO alice POST /v1/completions 200 finish=length usage=2/1"},
		{"POST", "/v1/completions", `{"prompt":"hello","n":2,"stream":true,"max_tokens":1}`, "INFO alice POST /v1/completions 200 finish=length usage=2/2"},
		{"POST", "/v1/completions", `{"prompt":"hello","n":0}`, "INFO alice POST /v1/completions 400 ended=invalid_request_error"},
		{"POST", "/v1/completions?key=hello", `x`, "INFO alice POST /v1/completions 400 ended=invalid_request_error"},
		{"GET", "/nowhere", "", "INFO alice GET /nowhere 404 ended=unknown_url"},
		{"GET", "/health", "", "DEBUG 127.0.0.1 GET /health 200"},
		{"GET", "/v1/models", "", "INFO alice GET /v1/models 200"},
	} {
		before := len(l.lines(t))
		s.do(c.method, c.path, c.body, auth)
		soon(t, "a line is logged", func() bool { return len(l.lines(t)) == before+1 })
		m := l.lines(t)[before]
		got := fmt.Sprintf("%v %v %v %v %v", m["level"], m["client"], m["method"], m["path"], m["status"])
		for _, name := range []string{"finish", "ended"} {
			if v, ok := m[name]; ok {
				got += fmt.Sprintf(" %s=%v", name, v)
			}
		}
		if v, ok := m["prompt_tokens"]; ok {
			got += fmt.Sprintf(" usage=%v/%v", v, m["generated_tokens"])
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", c.body, got, c.want)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, secret := range []string{"hello", "world", "sk-alice"} {
		if strings.Contains(l.text.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, l.text.String())
		}
	}
}

// The line of a stream is written when it ends, and says why it ended early.
func TestAccessLogOfAStream(t *testing.T) {
	l, log := newLog()
	cancelled := make(chan struct{}, 1)
	s := newTCPSite(t, blocked(cancelled), Options{Log: log})
	e := s.stream(`{"prompt":"x","stream":true}`)
	e.text()
	if lines := l.lines(t); len(lines) != 0 {
		t.Errorf("logged before the end: %v", lines)
	}
	e.resp.Body.Close()
	soon(t, "a line is logged", func() bool { return len(l.lines(t)) == 1 })
	m := l.lines(t)[0]
	if m["ended"] != "client_left" || m["generated_tokens"] != 1.0 || m["ttft_ms"].(float64) <= 0 || m["duration_ms"].(float64) < m["ttft_ms"].(float64) {
		t.Errorf("%v", m)
	}
	<-cancelled

	bad := newSite(t, &fake{answer: func(_ context.Context, _ engine.Request, send func(engine.Event)) {
		send(engine.Event{Kind: engine.KindDone, Err: io.ErrUnexpectedEOF, Waited: time.Minute})
	}}, Options{Log: log})
	bad.stream(`{"prompt":"x","stream":true}`).rest()
	soon(t, "a line is logged", func() bool { return len(l.lines(t)) == 2 })
	if m := l.lines(t)[1]; m["ended"] != "internal_error" || m["queue_ms"] != 60000.0 {
		t.Errorf("%v", m)
	}
}

// Each answer carries an id: the caller's, where it may stand in a header and a log.
func TestRequestIDs(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	seen := map[string]bool{}
	for sent, kept := range map[string]bool{
		"": false, "2f1b7f6e-3b1d-4c55-9a5c-6d3f2d0f9c11": true, "trace:1/a_b.c+d=": true, "a b": false, `a"b`: false,
		"a\tb": false, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		for _, path := range []string{"/health", "/nowhere", "/v1/completions"} {
			resp, _ := s.do("GET", path, "", "X-Request-Id: "+sent)
			got := resp.Header.Get("X-Request-Id")
			if kept && got != sent || !kept && (!validID(got) || seen[got] || got == sent) {
				t.Errorf("%s: sent %q, got %q", path, sent, got)
			}
			seen[got] = !kept
		}
	}
}

// What fails inside is logged under the request's id.
func TestErrorsCarryTheRequestID(t *testing.T) {
	l, log := newLog()
	s := newSite(t, &fake{answer: func(_ context.Context, _ engine.Request, send func(engine.Event)) {
		send(engine.Event{Kind: engine.KindDone, Err: io.ErrUnexpectedEOF})
	}}, Options{Log: log})
	resp, data := s.do("POST", "/v1/completions", goodBody, "X-Request-Id: mine")
	wantError(t, resp, data, 500)
	m := *s.server.model.Load()
	m.Generator = panics{}
	s.server.SetModel(m)
	resp, data = s.do("POST", "/v1/completions", goodBody, "X-Request-Id: yours")
	wantError(t, resp, data, 500)
	if resp.Header.Get("X-Request-Id") != "yours" {
		t.Errorf("after a panic: %v", resp.Header)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, want := range []string{`"msg":"completion failed","request_id":"mine"`, `"msg":"panic","request_id":"yours"`} {
		if !strings.Contains(l.text.String(), want) {
			t.Errorf("no %s in\n%s", want, l.text.String())
		}
	}
}
