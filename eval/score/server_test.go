package score

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format/tokenizer"
)

// fakeServer is an OpenAI-compatible server whose logprobs are told by fakeScore.
type fakeServer struct {
	*httptest.Server
	tok    *tokenizer.Tokenizer
	single bool // takes no array of prompts
	more   int  // refuses fewer max_tokens
	calls  atomic.Int32

	// answer, where set, is what becomes of call n's answer.
	answer func(n int, w http.ResponseWriter, a map[string]any) map[string]any
}

const fakeContext = 120

func newFake(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{tok: random(t).Header().Tokenizer}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

func (f *fakeServer) options() ServerOptions {
	return ServerOptions{URL: f.URL + "/v1", Tokenizer: f.tok, Patience: 3 * time.Second}
}

// fakeToken is the logprob of the token after another, and whether it is the likeliest.
func fakeToken(before, id int32) (float32, bool) {
	return -float32(1+(before+7*id)%11) / 10, (before+id)%4 > 0
}

func fakeScore(r Request) Score {
	ids := slices.Concat(r.Context, r.Continuation)
	s := Score{Greedy: true}
	for i := len(r.Context); i < len(ids); i++ {
		p, greedy := fakeToken(ids[i-1], ids[i])
		s.Logprob += float64(p)
		s.Greedy = s.Greedy && greedy
	}
	return s
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(code int, message string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error":{"message":%q}}`, message)
	}
	if r.Header.Get("Authorization") != "" && r.Header.Get("Authorization") != "Bearer sesame" {
		fail(401, "wrong key")
		return
	}
	if r.URL.Path == "/v1/models" {
		fmt.Fprintf(w, `{"data":[{"id":"tiny","max_model_len":%d},{"id":"mute"}]}`, fakeContext)
		return
	}
	var q struct {
		Model     string
		Prompt    json.RawMessage
		MaxTokens int `json:"max_tokens"`
		Logprobs  int
		Echo      bool
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v1/completions" || q.Model != "tiny" || !q.Echo || q.Logprobs != 1 {
		fail(404, fmt.Sprintf("%s %+v: %v", r.URL.Path, q, err))
		return
	}
	prompts, flat := [][]int32{}, []int32{}
	if json.Unmarshal(q.Prompt, &flat) == nil {
		prompts = [][]int32{flat}
	} else if err := json.Unmarshal(q.Prompt, &prompts); err != nil || f.single {
		fail(400, "not this way")
		return
	}
	if q.MaxTokens < f.more {
		fail(400, "not so few")
		return
	}
	a := map[string]any{"object": "text_completion"}
	var choices []any
	for i, ids := range prompts {
		choices = append(choices, f.choice(i, append(ids, make([]int32, q.MaxTokens)...)))
	}
	slices.Reverse(choices)
	a["choices"] = choices
	if f.answer != nil {
		a = f.answer(int(f.calls.Add(1)), w, a)
	}
	if a != nil {
		_ = json.NewEncoder(w).Encode(a) // a client that has left
	}
}

func (f *fakeServer) choice(index int, ids []int32) map[string]any {
	tokens, logprobs, top := []any{}, []any{nil}, []any{nil}
	for i, id := range ids {
		text := string(f.tok.Piece(id))
		tokens = append(tokens, text)
		if i == 0 {
			continue
		}
		p, greedy := fakeToken(ids[i-1], id)
		all := map[string]any{text: p}
		if !greedy {
			all["other"] = p + 0.05
			if id%2 == 0 {
				all["other"] = p
			}
		}
		logprobs, top = append(logprobs, p), append(top, all)
	}
	return map[string]any{"index": index, "text": "", "logprobs": map[string]any{"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top}}
}

func fakeRequests() (list []Request) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		q := ask(make([]int32, 1+r.IntN(4)), make([]int32, 1+r.IntN(3)))
		for _, ids := range [][]int32{q.Context, q.Continuation} {
			for i := range ids {
				ids[i] = 3 + int32(r.IntN(10))
			}
		}
		list = append(list, q)
	}
	return list
}

// Whatever forms a server takes, its scores are those of its logprobs.
func TestServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		single bool
		more   int
	}{{"arrays", false, 0}, {"arrays, one token", false, 1}, {"prompts", true, 0}, {"prompts, one token", true, 1}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			f.single, f.more = c.single, c.more
			o := f.options()
			o.Key = "sesame"
			s, err := NewServer(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Model() != "tiny" || s.MaxTokens() != fakeContext-c.more {
				t.Errorf("model %q, %d tokens", s.Model(), s.MaxTokens())
			}
			requests := fakeRequests()
			for i, got := range all(t, s, requests) {
				if want := fakeScore(requests[i]); got != want {
					t.Errorf("request %d: %+v, want %+v", i, got, want)
				}
			}
			long := ask(make([]int32, fakeContext-c.more), []int32{1})
			if err := s.Score(context.Background(), []Request{long}, nil); err == nil || !strings.Contains(err.Error(), "the model takes") {
				t.Errorf("a request that is too long: %v", err)
			}
		})
	}
}

// What passes is waited for: full queues, restarts, lost connections.
func TestServerIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answer = func(n int, w http.ResponseWriter, a map[string]any) map[string]any {
		switch n { // 1 probes
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		case 3:
			w.Header().Set("Retry-After", time.Now().Format(http.TimeFormat))
			w.WriteHeader(503)
		case 4:
			panic(http.ErrAbortHandler)
		case 5:
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"choices":[`)
		default:
			return a
		}
		return nil
	}
	o := f.options()
	o.Patience, o.Calls, o.Prompts = time.Minute, 1, 20
	s, err := NewServer(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	requests := fakeRequests()
	for i, got := range all(t, s, requests) {
		if want := fakeScore(requests[i]); got != want {
			t.Errorf("request %d: %+v, want %+v", i, got, want)
		}
	}
	if n := f.calls.Load(); n < 1+4+2 {
		t.Errorf("%d calls: nothing was tried again", n)
	}
}

// one changes choice 0's logprobs.
func one(f func(l map[string]any)) func(int, http.ResponseWriter, map[string]any) map[string]any {
	return func(_ int, _ http.ResponseWriter, a map[string]any) map[string]any {
		for _, c := range a["choices"].([]any) {
			if c := c.(map[string]any); c["index"] == 0 {
				f(c["logprobs"].(map[string]any))
			}
		}
		return a
	}
}

// status answers with nothing but that.
func status(code int, text string) func(int, http.ResponseWriter, map[string]any) map[string]any {
	return func(_ int, w http.ResponseWriter, _ map[string]any) map[string]any {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
		return nil
	}
}

// What a server that scores no texts, or answers nonsense, is told to its user as, both at
// the first call and later, with the scores that came before.
func TestServerAnswersWrongly(t *testing.T) {
	last := func(list any) int { return len(list.([]any)) - 1 }
	for _, c := range []struct {
		name   string
		answer func(n int, w http.ResponseWriter, a map[string]any) map[string]any
		want   string
	}{
		{"no choices", func(int, http.ResponseWriter, map[string]any) map[string]any { return map[string]any{} }, "0 choices of"},
		{"no logprobs", func(_ int, _ http.ResponseWriter, a map[string]any) map[string]any {
			delete(a["choices"].([]any)[0].(map[string]any), "logprobs")
			return a
		}, "has no logprobs"},
		{"llama-server's", one(func(l map[string]any) { clear(l); l["content"] = []any{} }), "0 log-probabilities"},
		{"echo ignored", one(func(l map[string]any) {
			for k := range l {
				l[k] = l[k].([]any)[last(l[k]):]
			}
		}), "1 log-probabilities"},
		{"a token before", one(func(l map[string]any) {
			for k, v := range l {
				l[k] = append([]any{nil, nil}, v.([]any)...)
			}
			l["tokens"] = append([]any{"<s>", "<s>"}, l["tokens"].([]any)[2:]...)
		}), "a token of its own"},
		{"fewer top_logprobs", one(func(l map[string]any) { l["top_logprobs"] = []any{} }), "0 top_logprobs"},
		{"no top_logprobs", one(func(l map[string]any) { v := l["top_logprobs"].([]any); v[last(v)-1], v[last(v)] = nil, nil }), "no top_logprobs"},
		{"null", one(func(l map[string]any) { v := l["token_logprobs"].([]any); v[last(v)-1], v[last(v)] = nil, nil }), "null: only a text's first"},
		{"above 0", one(func(l map[string]any) { v := l["token_logprobs"].([]any); v[last(v)-1], v[last(v)] = 0.5, 0.5 }), "want 0 or less"},
		{"minus infinity", one(func(l map[string]any) { v := l["token_logprobs"].([]any); v[last(v)-1], v[last(v)] = -9999, -9999 }), "minus infinity"},
		{"a string", one(func(l map[string]any) { l["token_logprobs"] = "none" }), "token_logprobs: a JSON string is not what belongs there"},
		{"NaN", status(200, `{"choices":[{"index":0,"logprobs":{"token_logprobs":[NaN]}}]}`), "cannot be read: invalid character 'N'"},
		{"a page", status(200, "<html>It works!</html>"), "\"<html>It works!</html>\", which cannot be read: invalid character '<' looking for beginning of value: is this an OpenAI-compatible server?"},
		{"an array", status(200, "[]"), "the whole: a JSON array is not what belongs there"},
		{"nothing", status(200, ""), "cannot be read: unexpected end of JSON input"},
		{"index", func(_ int, _ http.ResponseWriter, a map[string]any) map[string]any {
			a["choices"].([]any)[0].(map[string]any)["index"] = 99
			return a
		}, "index 99"},
		{"twice", func(_ int, _ http.ResponseWriter, a map[string]any) map[string]any {
			list := a["choices"].([]any)
			a["choices"] = append(list, maps.Clone(list[0].(map[string]any)))
			return a
		}, "has index"},
		{"too much", status(200, strings.Repeat(" ", 8<<20)), "more than"},
		{"400", status(400, `{"error":{"message":"logprobs: not here"}}`), "HTTP 400: logprobs: not here"},
		{"404", status(404, `{"message":"no such model"}`), "HTTP 404: no such model"},
		{"500", status(500, strings.Repeat("x", 1000)), "HTTP 500: xxx"},
		{"401", status(401, `{"error":"no"}`), "give the server's key"},
		{"503 for ever", status(503, "busy"), "HTTP 503: busy"},
		{"503 for hours", func(_ int, w http.ResponseWriter, _ map[string]any) map[string]any {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(503)
			return nil
		}, "tried 1 times"},
		{"503 until 9999", func(_ int, w http.ResponseWriter, _ map[string]any) map[string]any {
			w.Header().Set("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")
			w.WriteHeader(503)
			return nil
		}, "tried 1 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.answer = c.answer
			o := f.options()
			o.Patience = 300 * time.Millisecond
			if _, err := NewServer(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), f.URL) {
				t.Errorf("at first: error %v, want one with %q", err, c.want)
			}
			f.calls.Store(0)
			f.answer = func(n int, w http.ResponseWriter, a map[string]any) map[string]any {
				if n <= 3 { // the first call probes
					return a
				}
				return c.answer(n, w, a)
			}
			o.Calls, o.Prompts = 1, 2
			s, err := NewServer(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			requests, told := fakeRequests(), 0
			err = s.Score(context.Background(), requests, func(i int, got Score) error {
				if told++; got != fakeScore(requests[i]) {
					t.Errorf("request %d: %+v, want %+v", i, got, fakeScore(requests[i]))
				}
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), f.URL) {
				t.Errorf("later: error %v, want one with %q", err, c.want)
			}
			if told < 4 || told == len(requests) {
				t.Errorf("%d scores were told, want those of the calls before", told)
			}
		})
	}
}

// What is wrong before anything is scored.
func TestNewServerRefuses(t *testing.T) {
	f := newFake(t)
	other := newFake(t)
	other.answer = one(func(l map[string]any) {
		slices.Reverse(l["tokens"].([]any))
	})
	none := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":[]}`) }))
	defer none.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, c := range []struct {
		name   string
		change func(o *ServerOptions)
		want   string
	}{
		{"no address", func(o *ServerOptions) { o.URL = "localhost:8080" }, "want one as http://"},
		{"no server", func(o *ServerOptions) { o.URL = gone.URL }, "is the server there?"},
		{"no tokenizer", func(o *ServerOptions) { o.Tokenizer = nil }, "no tokenizer"},
		{"another tokenizer", func(o *ServerOptions) { o.URL = other.URL }, "give the server's own tokenizer"},
		{"wrong key", func(o *ServerOptions) { o.Key = "x" }, "wrong key: give the server's key"},
		{"no context", func(o *ServerOptions) { o.Model = "mute" }, "give its context"},
		{"no room", func(o *ServerOptions) { o.Context = 1 }, "a context of 1 tokens holds no prompt and what follows it"},
		{"no models", func(o *ServerOptions) { o.URL = none.URL }, "lists no model in /models"},
		{"unknown model", func(o *ServerOptions) { o.Model, o.Context = "other", 9 }, "HTTP 404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := f.options()
			c.change(&o)
			if _, err := NewServer(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A caller that leaves ends the calls under way.
func TestServerIsLeft(t *testing.T) {
	f := newFake(t)
	s, err := NewServer(context.Background(), f.options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	defer close(release)
	f.answer = func(int, http.ResponseWriter, map[string]any) map[string]any {
		cancel()
		<-release
		return nil
	}
	if err := s.Score(ctx, fakeRequests(), func(int, Score) error { return nil }); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("error %v, want the context's", err)
	}
}

// A caller that has left before anything is asked, or between two calls, is told that not all was scored.
func TestServerIsLeftBetweenCalls(t *testing.T) {
	f := newFake(t)
	o := f.options()
	o.Calls, o.Prompts = 1, 2
	s, err := NewServer(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Score(ctx, fakeRequests(), func(int, Score) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// What an address has besides host and path goes along with every call; its password is not shown.
func TestServerAddress(t *testing.T) {
	f := newFake(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" || r.URL.RawQuery != "version=7" {
			w.WriteHeader(403)
			return
		}
		r.Header.Del("Authorization")
		f.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	o := f.options()
	o.URL = strings.Replace(proxy.URL, "//", "//user:secret@", 1) + "/v1/completions?version=7#there"
	s, err := NewServer(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if strings.Contains(s.URL(), "secret") {
		t.Errorf("%s shows the password", s.URL())
	}
}

// Calls one after the other take one connection, however an answer is framed.
func TestServerConnections(t *testing.T) {
	f := newFake(t)
	var connections atomic.Int32
	chunked := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		f.ServeHTTP(answer, r)
		_, _ = answer.Body.WriteTo(w) // a client that has left
		w.(http.Flusher).Flush()
	}))
	chunked.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	chunked.Start()
	defer chunked.Close()
	o := f.options()
	o.URL, o.Calls, o.Prompts = chunked.URL, 1, 4
	s, err := NewServer(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all(t, s, fakeRequests())
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
