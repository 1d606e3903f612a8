package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/runtime/engine"
)

// The listener opens before the model is loaded.
func TestLoading(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	m := s.server.model.Swap(nil)
	for _, c := range []struct{ method, path string }{
		{"GET", "/health"}, {"GET", "/ready"}, {"GET", "/v1/models"}, {"GET", "/v1/models/tiny"}, {"POST", "/v1/completions"}, {"POST", "/tokenize"}, {"POST", "/detokenize"},
	} {
		resp, data := s.do(c.method, c.path, `{"prompt":"x","content":"x","tokens":[1]}`)
		wantError(t, resp, data, 503)
		if resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.path)
		}
	}
	if resp, _ := s.do("GET", "/metrics", ""); resp.StatusCode != 200 {
		t.Errorf("/metrics: %d", resp.StatusCode)
	}
	s.server.SetModel(*m)
	if resp, data := s.do("GET", "/health", ""); resp.StatusCode != 200 {
		t.Errorf("/health: %d %s", resp.StatusCode, data)
	}
}

func TestModels(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	const model = `{"id":"tiny","object":"model","created":1700000000,"owned_by":"llmqat","max_model_len":128}`
	for path, want := range map[string]string{
		"/v1/models":      `{"object":"list","data":[` + model + `]}`,
		"/v1/models/":     `{"object":"list","data":[` + model + `]}`,
		"/v1/models/tiny": model,
	} {
		if resp, data := s.do("GET", path, ""); resp.StatusCode != 200 || string(data) != want+"\n" {
			t.Errorf("%s: %d %s, want %s", path, resp.StatusCode, data, want)
		}
	}
	m := *s.server.model.Load()
	m.Name = "org/tiny model"
	s.server.SetModel(m)
	if resp, data := s.do("GET", "/v1/models/org/tiny%20model", ""); resp.StatusCode != 200 {
		t.Errorf("a name with a slash: %d %s", resp.StatusCode, data)
	}
}

func TestTokenize(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for _, text := range []string{"hello world", "", "é€\n", "</s>"} {
		body, _ := json.Marshal(map[string]any{"content": text, "add_special": true})
		resp, data := s.do("POST", "/tokenize", string(body))
		var ids struct{ Tokens []int32 }
		if err := json.Unmarshal(data, &ids); err != nil || resp.StatusCode != 200 || len(ids.Tokens) == 0 || ids.Tokens[0] != 1 {
			t.Fatalf("%q: %d %s", text, resp.StatusCode, data)
		}
		resp, data = s.do("POST", "/detokenize", string(data))
		var back struct{ Content string }
		if err := json.Unmarshal(data, &back); err != nil || resp.StatusCode != 200 || back.Content != text {
			t.Errorf("%q came back as %d %s", text, resp.StatusCode, data)
		}
	}
	for path, bodies := range map[string][]string{
		"/tokenize":   {`{}`, `{"content":1}`, `{"content":"x","add_special":1}`, `x`},
		"/detokenize": {`{}`, `{"tokens":1}`, `{"tokens":["x"]}`, `{"tokens":[-1]}`, `{"tokens":[999999]}`, `{"tokens":[1.5]}`},
	} {
		for _, body := range bodies {
			resp, data := s.do("POST", path, body)
			wantError(t, resp, data, 400)
		}
	}
}

// Shutdown waits for what runs; what runs ends well.
func TestDrain(t *testing.T) {
	release := make(chan struct{})
	f := &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
		send(token(r, 3+'a', 0))
		<-release
		send(token(r, 3+'b', 0))
		send(done(engine.ReasonStop))
	}}
	s := newTCPSite(t, f, Options{})
	e := s.stream(`{"prompt":"x","stream":true}`)
	if got := e.text(); got != "a" {
		t.Fatalf("got %q", got)
	}
	plain := make(chan string, 1)
	go func() {
		resp, err := s.client.Post("http://test/v1/completions", "application/json", strings.NewReader(goodBody))
		if err != nil {
			plain <- err.Error()
			return
		}
		defer resp.Body.Close()
		var a answer
		_ = json.NewDecoder(resp.Body).Decode(&a)
		plain <- a.Choices[0].Text
	}()
	soon(t, "both requests run", func() bool { return s.server.counters.running.Get() == 2 })

	drained := make(chan error, 1)
	go func() { drained <- s.server.Shutdown(context.Background()) }()
	soon(t, "nobody listens", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-drained:
		t.Fatalf("drained with requests under way: %v", err)
	default:
	}
	close(release)
	if got := joinTexts(t, e.rest()); got != "b" {
		t.Errorf("the stream went on with %q", got)
	}
	if got := <-plain; got != "ab" {
		t.Errorf("the plain answer: %q", got)
	}
	if err := <-drained; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// Connections that were opened ahead, and have sent nothing or only their part of a handshake, are no requests to wait for.
func TestDrainDoesNotWaitForSilence(t *testing.T) {
	for _, secure := range []*tls.Config{nil, testTLS()} {
		s := newTCPSite(t, &fake{}, Options{ReadTimeout: 10 * time.Minute, TLS: secure})
		c := s.dial()
		defer c.Close()
		if secure != nil {
			if err := c.(*tls.Conn).Handshake(); err != nil {
				t.Fatal(err)
			}
		}
		s.complete(goodBody) // the one before it was accepted
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Errorf("tls %v: shutdown: %v", secure != nil, err)
		}
	}
}

// When the time for a drain is over, what runs is cancelled and told so.
func TestDrainRunsOutOfTime(t *testing.T) {
	cancelled := make(chan struct{}, 2)
	s := newTCPSite(t, blocked(cancelled), Options{})
	e := s.stream(`{"prompt":"x","stream":true}`)
	if got := e.text(); got != "a" {
		t.Fatalf("got %q", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if n := s.server.http.GetOpenConnectionsCount(); n != -1 { // as Shutdown says
		t.Errorf("%d connections are still open", n+1)
	}
	<-cancelled
	if line, _ := e.next(); !strings.Contains(line, `"unavailable"`) {
		t.Errorf("got %q, want an error event", line)
	}
}

// While it drains a server is healthy, or it would be killed for it, but not ready.
func TestReady(t *testing.T) {
	s := newSite(t, &fake{stats: engine.Stats{Waiting: 3, WaitingTokens: 400, Running: 2}}, Options{})
	resp, data := s.do("GET", "/ready", "")
	if want := `{"status":"ready","queue":{"requests":3,"tokens":400},"running":2}` + "\n"; resp.StatusCode != 200 || string(data) != want {
		t.Errorf("%d %s, want %s", resp.StatusCode, data, want)
	}
	s.server.Unready()
	resp, data = s.do("GET", "/ready", "")
	wantError(t, resp, data, 503)
	if !resp.Close {
		t.Error("connections are kept while draining")
	}
	if resp, data := s.do("GET", "/health", ""); resp.StatusCode != 200 {
		t.Errorf("/health: %d %s", resp.StatusCode, data)
	}
	s.complete(goodBody) // there are still those who have not heard
}

// When the device is lost the requests that run are told why, others are refused, and /health says it.
func TestDeviceLost(t *testing.T) {
	lost := fmt.Errorf("forward pass: %w: cable pulled", engine.ErrLost)
	f := &fake{answer: func(_ context.Context, _ engine.Request, send func(engine.Event)) {
		send(engine.Event{Kind: engine.KindDone, Err: lost})
	}}
	s := newSite(t, f, Options{})
	wantLost := func(what string, resp *http.Response, data []byte) {
		t.Helper()
		_, message := wantError(t, resp, data, 503)
		if !strings.Contains(message, "cable pulled") || !strings.Contains(string(data), `"device_lost"`) || resp.Header.Get("Retry-After") != "" {
			t.Errorf("%s: %v %s", what, resp.Header, data)
		}
	}
	resp, data := s.do("POST", "/v1/completions", goodBody)
	wantLost("a request that runs", resp, data)
	if line := s.stream(`{"prompt":"x","stream":true}`).rest(); len(line) != 1 || !strings.Contains(line[0], "cable pulled") {
		t.Errorf("a stream ends with %q", line)
	}
	f.refuse, f.lost = lost, lost
	resp, data = s.do("POST", "/v1/completions", goodBody)
	wantLost("a request afterwards", resp, data)
	for _, path := range []string{"/health", "/ready"} {
		resp, data = s.do("GET", path, "")
		wantLost(path, resp, data)
	}
	if resp, data := s.do("GET", "/v1/models", ""); resp.StatusCode != 200 {
		t.Errorf("/v1/models: %d %s", resp.StatusCode, data)
	}
}

// Connections beyond the limit are refused in the API's words; far beyond it they are closed. Those below go on.
func TestTooManyConnections(t *testing.T) {
	for _, secure := range []*tls.Config{nil, testTLS()} {
		cancelled := make(chan struct{}, 2)
		s := newTCPSite(t, blocked(cancelled), Options{MaxConns: 1, TLS: secure})
		e := s.stream(`{"prompt":"x","stream":true}`)
		e.text()
		var idle []net.Conn
		for range refusing - 1 {
			idle = append(idle, s.dial())
		}
		soon(t, "all are accepted", func() bool { return s.server.http.GetOpenConnectionsCount() == refusing })
		c := s.dial()
		io.WriteString(c, "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		if _, message := wantError(t, resp, data, 503); !resp.Close || !strings.Contains(message, "more than 1 connections") || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%v %s", resp.Header, data)
		}
		soon(t, "the refused one is gone", func() bool { return s.server.http.GetOpenConnectionsCount() == refusing })
		soon(t, "there are as many again", func() bool { // as below, the first may come too early
			if s.server.http.GetOpenConnectionsCount() == refusing+1 {
				return true
			}
			idle = append(idle, s.dial())
			return false
		})
		if data, err := io.ReadAll(s.dial()); len(data) > 0 || isTimeout(err) {
			t.Errorf("one too many: %q, %v, want it closed", data, err)
		}
		for _, c := range idle {
			c.Close()
		}
		e.resp.Body.Close()
		<-cancelled
		s.client.CloseIdleConnections()
		soon(t, "all are closed", func() bool { return s.server.http.GetOpenConnectionsCount() == 0 })
		soon(t, "there is room again", func() bool { // fasthttp counts a connection down just before it closes it
			resp, _ := s.do("GET", "/health", "")
			return resp.StatusCode == 200
		})
	}
}
