package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A closed loop of two over a server that takes 0.1 s to the first and 10 ms to each further
// token: everything follows from these.
func TestClosedLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Concurrency: []int{2}, Requests: 10, Input: fixed(5), Output: fixed(11), Rounds: 2}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(100*time.Millisecond, 10*time.Millisecond)})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Rows[0].Summary
		if s.Requests != 20 || s.Done != 20 || s.Input != 100 || s.Output != 220 || s.Chunks != 220 || s.Usage != 20 || s.MaxFlight != 2 {
			t.Errorf("%+v", s)
		}
		for what, v := range map[string][2]float64{
			"seconds": {s.Seconds, 2}, "in flight": {s.InFlight, 2}, "tokens/s": {s.outputPerSec(), 110}, "all tokens/s": {s.totalPerSec(), 160},
			"requests/s": {s.requestsPerSec(), 10}, "while both decode": {s.Full.perSec(), 200}, "first token": {s.TTFT.P50, 0.1}, "slowest first token": {s.TTFT.Max, 0.1},
			"between": {s.Between.Mean, 0.01}, "p99 between": {s.Between.P99, 0.01}, "whole": {s.Whole.P95, 0.2},
		} {
			if !near(v[0], v[1]) {
				t.Errorf("%s: %v, want %v", what, v[0], v[1])
			}
		}
		if s.Between.N != 200 || s.Full.Streams != 2 || s.FirstTTFT.N != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// At a rate requests come when they are due, whether or not others have been answered, and
// their time counts from then.
func TestOpenLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Rates: []float64{100}, Requests: 50, Seed: 3, Output: fixed(2)}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(time.Minute, time.Second)})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		want := planned(o, 0, 0, level{rate: 100})
		for i, s := range r.Rows[0].Rounds[0].Samples {
			if !near(s.Start, want[i].due.Seconds()) || !near(s.ttft(), 60) || s.Late != 0 {
				t.Errorf("request %d: started at %v, late by %v, first token after %v; want %v, 0, 60", i, s.Start, s.Late, s.ttft(), want[i].due.Seconds())
			}
		}
		if s := r.Rows[0].Summary; s.MaxFlight != 50 || s.Requests != 50 {
			t.Errorf("%d of %d requests at once", s.MaxFlight, s.Requests)
		}
	})
}

// A duration ends the sending; what is under way is waited for.
func TestDuration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Concurrency: []int{1}, Duration: 10 * time.Second, Output: fixed(2)}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(3*time.Second, time.Second)})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Rows[0].Summary; s.Done != 3 || !near(s.Seconds, 12) {
			t.Errorf("%d requests in %v s; want 3 in 12", s.Done, s.Seconds)
		}
		o.Concurrency, o.Rates = nil, []float64{5}
		if r, err = Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		samples := r.Rows[0].Rounds[0].Samples
		if last := samples[len(samples)-1]; len(samples) < 30 || len(samples) > 70 || last.Start >= 10 || last.End < 12 {
			t.Errorf("%d requests, the last %+v", len(samples), last)
		}
	})
}

// Refusals stand apart from failures, and neither's time or tokens count.
func TestCountsErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		n := -1
		good := steady(time.Second, time.Second)
		o := Options{Concurrency: []int{1}, Requests: 9, Output: fixed(2)}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Path == "/v1/completions" {
				n++
			}
			switch {
			case n < 0 || n%3 == 0:
				good(w, r)
			case n == 4:
				tell(w, tokenEvent)
			case n == 5:
				http.Error(w, "oh", http.StatusInternalServerError)
			default:
				w.Header().Set("Retry-After", "1")
				http.Error(w, "full", http.StatusTooManyRequests)
			}
		}})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Rows[0].Summary
		if s.Requests != 9 || s.Done != 3 || s.Limited != 4 || s.RetryAfter != 4 || s.Errors["HTTP 500"] != 1 || s.Errors[kindBroken] != 1 || s.Output != 6 || s.TTFT.N != 3 || s.Between.N != 3 {
			t.Errorf("%+v", s)
		}
		if !near(s.Seconds, 3*2+5*0.1) && !near(s.Seconds, 3*2+6*0.1) { // a client that failed waits a little
			t.Errorf("%v s", s.Seconds)
		}
		var b bytes.Buffer
		if err := r.Table(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"4 × HTTP 429, 4 with Retry-After", "1 × HTTP 500, the first: oh", "1 × broken stream, the first: unexpected EOF"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the table lacks %q:\n%s", want, b.String())
			}
		}
	})
}

// Servers take turns and get the same requests; what one is to the first is told by ratios.
func TestServersInTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var order strings.Builder
		prompts := map[string][]string{}
		waits := map[string]time.Duration{"a": 100 * time.Millisecond, "b": 300 * time.Millisecond}
		handlers := map[string]http.HandlerFunc{}
		for name := range waits {
			handlers[name] = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/completions" {
					http.NotFound(w, r)
					return
				}
				b := asked(r)
				mu.Lock()
				order.WriteString(name)
				prompts[name] = append(prompts[name], fmt.Sprint(b.Prompt))
				mu.Unlock()
				answer(w, b, waits[name], 10*time.Millisecond)
			}
		}
		o := Options{Concurrency: []int{1, 2}, Requests: 4, Output: fixed(11), Rounds: 3, Warmup: 2}
		serveFakes(t, &o, handlers)
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		const ab, ba = "aaaabbbb", "bbbbaaaa"
		if got := order.String(); got != "aabb"+ab+ab+ba+ba+ab+ab {
			t.Errorf("order %s", got)
		}
		slices.Sort(prompts["a"])
		slices.Sort(prompts["b"])
		if !slices.Equal(prompts["a"], prompts["b"]) || len(slices.Compact(prompts["a"])) != 26 {
			t.Error("the servers got different prompts, or the same one twice")
		}
		if len(r.Rows) != 4 || r.Rows[1].name() != "b, 1 at once" || len(r.Rows[1].Rounds) != 3 {
			t.Fatalf("rows %+v", r.Rows)
		}
		base := r.base(&r.Rows[3])
		if base != &r.Rows[2] {
			t.Errorf("the base of %s is %s", r.Rows[3].name(), base.name())
		}
		if got := ratios(&r.Rows[3], base, func(r *Round) float64 { return r.Summary.TTFT.P50 }).String(); got != "3 (3–3)" {
			t.Errorf("first token: %s times as long, want 3", got)
		}
		if got := ratios(&r.Rows[3], base, func(r *Round) float64 { return r.Summary.outputPerSec() }).String(); got != "0.5 (0.5–0.5)" {
			t.Errorf("%s times the tokens/s, want 0.5", got)
		}
	})
}

// What fails at once fails before a long run, with the server's words.
func TestWarmupFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Warmup: 3}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, `{"error":{"message":"no such token"}}`, http.StatusBadRequest)
		}})
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "a: the first requests, to warm up: HTTP 400: no such token") {
			t.Errorf("error %v", err)
		}
	})
}

// The first model of the list is asked for; a key is sent, and asked for where it lacks.
func TestConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Requests: 1, Text: true, Input: fixed(9)}
		var model, prompt string
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Header.Get("Authorization") != "Bearer k":
				http.Error(w, `{"error":{"message":"who are you"}}`, http.StatusUnauthorized)
			case r.URL.Path == "/v1/models":
				io.WriteString(w, `{"object":"list","data":[{"id":"first"},{"id":"second"}]}`)
			case r.URL.Path == "/tokenize": // three tokens a word
				io.WriteString(w, `{"tokens":[1`+strings.Repeat(",1", 2999)+`]}`)
			default:
				b := asked(r)
				model, prompt = b.Model, b.Prompt.(string)
				answer(w, b, 0, 0)
			}
		}})
		o.Servers[0].Model = ""
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "who are you") || !strings.Contains(err.Error(), "--key") {
			t.Errorf("error %v", err)
		}
		o.Servers[0].Key = "k"
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if model != "first" || len(strings.Fields(prompt)) != 3 || len(r.Notes) > 0 || r.Rows[0].Summary.Usage != 1 {
			t.Errorf("asked %q for %q: want first, 3 words; notes %q", model, prompt, r.Notes)
		}
	})
}

// Connections are used again, unless each request is to have one.
func TestConnections(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			o := Options{Concurrency: []int{2}, Requests: 6, Output: fixed(2), NewConns: fresh}
			serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(time.Second, time.Second)})
			var dials atomic.Int32
			dial := o.dialServer
			o.dialServer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return dial(ctx, network, addr)
			}
			if _, err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			// One asks for the models.
			if n := dials.Load(); fresh && n != 1+6 || !fresh && n > 1+2 {
				t.Errorf("a connection each %v: %d", fresh, n)
			}
		})
	}
}

// A server may close a connection that it kept, just as the next request comes; on a new
// connection that is no answer.
func TestKeptConnectionClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := Options{Concurrency: []int{1}, Requests: 4, Output: fixed(2)}
		n := 0
		good := steady(time.Second, time.Second)
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/completions" {
				n++
			}
			if n == 2 || n == 5 || n == 6 { // 5 is sent again as 6
				panic(http.ErrAbortHandler)
			}
			good(w, r)
		}})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Rows[0].Summary; s.Done != 3 || s.Again != 2 || s.Errors[kindClosed] != 1 || n != 6 {
			t.Errorf("%d sent, %+v", n, s)
		}
	})
}

// The process of a server is watched in each round; one that is not there is named at once.
func TestWatchesServer(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	bubble(t, func(t *testing.T) {
		o := Options{Requests: 1, Output: fixed(1)}
		serveFakes(t, &o, map[string]http.HandlerFunc{"a": steady(time.Second, 0)})
		o.Servers[0].PID = os.Getpid()
		r, err := Run(t.Context(), o)
		if err != nil || r.Rows[0].Process.Resident < 1<<20 || r.Rows[0].Rounds[0].Process.Anon == 0 {
			t.Errorf("%+v, error %v", r.Rows[0].Process, err)
		}
		o.Servers[0].PID = 1 << 30
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--pid") {
			t.Errorf("error %v", err)
		}
	})
}

func TestOptions(t *testing.T) {
	a := []Server{{Name: "a"}}
	for want, o := range map[string]Options{
		"no server":              {},
		"one of them":            {Servers: a, Concurrency: []int{1}, Rates: []float64{1}},
		"at least 1":             {Servers: a, Concurrency: []int{4, 0}},
		"above 0":                {Servers: a, Rates: []float64{math.NaN()}},
		"none may be negative":   {Servers: a, Requests: -1},
		"vocabulary of 1":        {Servers: a, Vocab: 1},
		"temperature -1":         {Servers: a, Temperature: -1},
		"prefixes of -5 tokens":  {Servers: a, Prefix: -5},
		"two servers are called": {Servers: []Server{{Name: "a"}, {Name: "a"}}},
	} {
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	for text, want := range map[string]Server{
		"http://127.0.0.1:8080":     {Name: "127.0.0.1:8080", URL: "http://127.0.0.1:8080"},
		"https://host/gate/v1/":     {Name: "host/gate", URL: "https://host/gate"},
		"ours=http://127.0.0.1:1/":  {Name: "ours", URL: "http://127.0.0.1:1"},
		"http://host/a=b":           {Name: "host/a=b", URL: "http://host/a=b"},
		"127.0.0.1:8080":            {},
		"x=ftp://h":                 {},
		"http://":                   {},
		"http://h/v1?x=y":           {},
		"":                          {},
		"ours=":                     {},
		"http://[::1":               {},
		"llama server=http://[::1]": {Name: "llama server", URL: "http://[::1]"},
	} {
		if got, err := ParseServer(text); got != want || (err == nil) != (want.URL != "") {
			t.Errorf("%q: %+v, error %v; want %+v", text, got, err, want)
		}
	}
}
