package load

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// one sends a request to a fake and returns what came of it.
func oneSample(t *testing.T, o Options, h http.HandlerFunc) Sample {
	t.Helper()
	serveFakes(t, &o, map[string]http.HandlerFunc{"a": h})
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := o.newClient(&o.Servers[0])
	defer c.close()
	return c.complete(t.Context(), &request{prompt: []int{7, 8}, input: 2, output: 4, seed: 3}, time.Now(), func() {})
}

// Times are the server's, to the nanosecond; what comes at once has the same time.
func TestTimes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := oneSample(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
			tell(w, ": ping\n\n", 300*time.Millisecond, tokenEvent, 20*time.Millisecond, tokenEvent+tokenEvent, 40*time.Millisecond, tokenEvent,
				time.Second, lastEvent+usageEvent(11, 5, 6), 10*time.Millisecond, doneEvent)
		})
		if s.Error != "" || len(s.Chunks) != 4 || !near(s.ttft(), 0.3) || !near(s.Chunks[1], 0.32) || !near(s.Chunks[2], 0.32) || !near(s.Chunks[3], 0.36) || !near(s.End, 1.37) {
			t.Errorf("%+v", s)
		}
		if s.Input != 11 || s.Output != 5 || s.Cached != 6 || !s.Usage || s.Finish != "length" {
			t.Errorf("%+v", s)
		}
	})
}

// What is sent later than it was due has waited since then.
func TestLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(time.Second, time.Second)})
		if err := o.fill(); err != nil {
			t.Fatal(err)
		}
		c := o.newClient(&o.Servers[0])
		defer c.close()
		r := &request{due: 4 * time.Second, output: 1}
		s := c.complete(t.Context(), r, time.Now().Add(-6*time.Second), func() {})
		if !near(s.Start, 4) || !near(s.Late, 2) || !near(s.ttft(), 3) || !near(s.End, 7) {
			t.Errorf("%+v", s)
		}
	})
}

// Without usage tokens are counted by chunks, in a chat too: of the role nobody reads.
func TestChat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got body
		s := oneSample(t, Options{Chat: true}, func(w http.ResponseWriter, r *http.Request) {
			if got = asked(r); r.URL.Path != "/v1/chat/completions" {
				http.NotFound(w, r)
			}
			tell(w, `data: {"choices":[{"delta":{"role":"assistant","content":null}}]}`+"\n\n", time.Second,
				`data: {"choices":[{"delta":{"content":"a"}}]}`+"\n\n", `data: {"choices":[{"delta":{"reasoning_content":"b"}}]}`+"\n\n",
				`data: {"choices":[{"delta":{},"finish_reason":"stop"}]}`+"\n\n", doneEvent)
		})
		if s.Error != "" || !near(s.ttft(), 1) || s.Output != 2 || s.Usage || s.Input != 2 || s.Finish != "stop" {
			t.Errorf("%+v", s)
		}
		if len(got.Messages) != 1 || got.Messages[0].Role != "user" || got.Prompt != nil {
			t.Errorf("asked for %+v", got)
		}
	})
}

func TestWhatIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got body
		oneSample(t, Options{Temperature: 0.5}, func(w http.ResponseWriter, r *http.Request) { got = asked(r) })
		if got.Model != "m" || got.MaxTokens != 4 || got.Temperature != 0.5 || got.Seed != 3 || !got.Stream || !got.StreamOptions.IncludeUsage || !got.IgnoreEOS || len(got.Prompt.([]any)) != 2 {
			t.Errorf("asked for %+v", got)
		}
		oneSample(t, Options{StopAtEOS: true}, func(w http.ResponseWriter, r *http.Request) { got = asked(r) })
		if got.IgnoreEOS {
			t.Error("ignore_eos is sent though answers may end early")
		}
	})
}

func TestErrors(t *testing.T) {
	status := func(code int, contentType, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(code)
			w.Write([]byte(text))
		}
	}
	stream := func(pieces ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { tell(w, pieces...) }
	}
	cut := func(w http.ResponseWriter, r *http.Request) {
		tell(w, tokenEvent)
		panic(http.ErrAbortHandler) // closes the connection without the last HTTP chunk
	}
	for _, c := range []struct {
		name         string
		h            http.HandlerFunc
		kind, detail string
	}{
		{"refused for now", status(429, "application/json", `{"error":{"message":"the queue is full"}}`), "HTTP 429", "the queue is full"},
		{"OpenAI's error", status(500, "application/json", `{"error":{"message":"no luck","code":null}}`), "HTTP 500", "no luck"},
		{"vLLM's old error", status(400, "application/json", `{"object":"error","message":"too long"}`), "HTTP 400", "too long"},
		{"a proxy's", status(502, "text/html", "<html>\nbad gateway"), "HTTP 502", "<html>"},
		{"no stream", status(200, "application/json", `{"choices":[]}`), kindStrange, "want text/event-stream"},
		{"moved", status(307, "text/plain", "elsewhere"), "HTTP 307", "elsewhere"},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, kindClosed, "EOF"},
		{"cut off", cut, kindBroken, "EOF"},
		{"ended early", stream(tokenEvent, lastEvent), kindBroken, "no data: [DONE] after 1 chunks"},
		{"ended in an event", stream(tokenEvent, "data: {"), kindBroken, "no data: [DONE]"},
		{"not JSON", stream("data: hello\n\n", doneEvent), kindStrange, "hello"},
		{"says nothing", stream(doneEvent), kindStrange, "neither text nor"},
		{"fails in the stream", stream(tokenEvent, `data: {"error":{"message":"out of pages"}}`+"\n\n"), kindFailed, "out of pages"},
		{"hangs at first", stream(time.Hour), kindTimeout, "deadline"},
		{"hangs later", stream(tokenEvent, time.Hour), kindTimeout, "deadline"},
		{"hangs in an error", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			w.(http.Flusher).Flush()
			time.Sleep(time.Hour)
		}, kindTimeout, "deadline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := oneSample(t, Options{Timeout: time.Minute}, c.h)
				if s.Error != c.kind || !strings.Contains(s.Detail, c.detail) {
					t.Errorf("%q, %q; want %q, %q", s.Error, s.Detail, c.kind, c.detail)
				}
				if c.kind == kindTimeout && !near(s.End, 60) {
					t.Errorf("ended after %v s, want 60", s.End)
				}
				if want := map[string]string{"HTTP 429": "2"}[c.kind]; want != "" && s.RetryAfter != want {
					t.Errorf("Retry-After %q, want %q", s.RetryAfter, want)
				}
			})
		})
	}
}

func TestNoConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{}
		serveFakes(t, &o, nil)
		o.Servers = []Server{{Name: "nobody", URL: "http://nobody"}}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "nobody") || !strings.Contains(err.Error(), "--url") {
			t.Errorf("error %v", err)
		}
		if err := o.fill(); err != nil {
			t.Fatal(err)
		}
		s := o.newClient(&o.Servers[0]).complete(t.Context(), &request{output: 1}, time.Now(), nil)
		if s.Error != kindConnect {
			t.Errorf("%+v", s)
		}
	})
}

// An interrupt ends a run at once, and is no error of the server's.
func TestInterrupt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Concurrency: []int{4}, Timeout: time.Hour}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(time.Minute, time.Minute)})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		begin := time.Now()
		if _, err := Run(ctx, o); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 10*time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}
