package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve/chat"
)

func TestMain(m *testing.M) {
	code := m.Run()
	time.Sleep(idleWorker) // fasthttp's pools look that often whether they are to end
	err := goleak.Find(goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
	if code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const testContext = 128

// testTokenizer has the letters and a few words; all else falls back to byte tokens.
func testTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	pieces := []tokenizer.Piece{{Text: "<unk>"}, {Text: "<s>"}, {Text: "</s>"}}
	for b := range 256 {
		pieces = append(pieces, tokenizer.Piece{Text: fmt.Sprintf("<0x%02X>", b)})
	}
	words := []string{"▁", "he", "hel", "hell", "hello", "▁hello", "wo", "wor", "worl", "world", "▁world"}
	for c := 'a'; c <= 'z'; c++ {
		words = append(words, string(c))
	}
	for i, w := range words {
		pieces = append(pieces, tokenizer.Piece{Text: w, Score: float32(len(w) - 100 - i)})
	}
	tok, err := tokenizer.NewSentencePiece(pieces, tokenizer.Normalizer{DummyPrefix: true}, tokenizer.Special{BOS: 1, EOS: 2, AddBOS: true})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// testChat writes messages in the letters that testTokenizer has: "u hello</s>a ".
func testChat(t testing.TB) *chat.Template {
	t.Helper()
	c, err := chat.Parse("test", `{{ bos_token }}{% for m in messages %}{{ m.role[0] }} {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}a {% endif %}`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fake is a Generator whose answers are written by a function, on a goroutine of their own.
type fake struct {
	answer func(ctx context.Context, r engine.Request, send func(engine.Event))
	refuse error // what Generate returns
	lost   error // what Err returns
	info   engine.Info
	stats  engine.Stats

	mu       sync.Mutex
	requests []engine.Request
	running  sync.WaitGroup
}

func (f *fake) Err() error        { return f.lost }
func (f *fake) Info() engine.Info { return f.info }
func (f *fake) Stats() engine.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *fake) Generate(ctx context.Context, r engine.Request) (<-chan engine.Event, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	f.mu.Unlock()
	events := make(chan engine.Event, r.MaxTokens+2)
	f.running.Add(1)
	go func() {
		defer f.running.Done()
		defer close(events)
		f.answer(ctx, r, func(e engine.Event) { events <- e })
	}()
	return events, nil
}

// last returns the newest request.
func (f *fake) last(t *testing.T) engine.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("the generator got no request")
	}
	return f.requests[len(f.requests)-1]
}

func token(r engine.Request, id int32, lp float32) engine.Event {
	e := engine.Event{Kind: engine.KindToken, Token: engine.Token{ID: id, Logprob: lp}}
	e.Token.Top = top(r, id, lp)
	return e
}

// top makes up the most likely tokens: the chosen one and those after it.
func top(r engine.Request, id int32, lp float32) []engine.TokenLogprob {
	var list []engine.TokenLogprob
	for i := range r.Logprobs {
		list = append(list, engine.TokenLogprob{ID: id + int32(i), Logprob: lp - float32(i)})
	}
	return list
}

func done(reason engine.FinishReason) engine.Event {
	return engine.Event{Kind: engine.KindDone, Reason: reason}
}

// says answers every request with ids, cut at its MaxTokens, then EOS.
func says(ids []int32) func(context.Context, engine.Request, func(engine.Event)) {
	return func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		if r.LogprobsFrom > 0 {
			var prompt []engine.Token
			for i, id := range r.IDs[1:] {
				lp := -float32(i+1) / 8
				prompt = append(prompt, engine.Token{ID: id, Logprob: lp, Top: top(r, id, lp)})
			}
			send(engine.Event{Kind: engine.KindPrompt, Prompt: prompt})
		}
		for i, id := range ids {
			if i == r.MaxTokens {
				send(done(engine.ReasonLength))
				return
			}
			if err := ctx.Err(); err != nil {
				send(engine.Event{Kind: engine.KindDone, Err: err})
				return
			}
			send(token(r, id, -0.5))
		}
		if len(ids) == r.MaxTokens {
			send(done(engine.ReasonLength))
			return
		}
		send(done(engine.ReasonStop))
	}
}

// generated returns the ids of text as an answer: without the dummy space that begins a text.
func generated(t testing.TB, tok *tokenizer.Tokenizer, text string) []int32 {
	t.Helper()
	before := tok.Encode("x")
	ids := tok.Encode("x" + text)
	if !slices.Equal(ids[:len(before)], before) {
		t.Fatalf("%q does not begin with the tokens of x", "x"+text)
	}
	return ids[len(before):]
}

// site is a server under test and a client of it.
type site struct {
	t      *testing.T
	server *Server
	fake   *fake
	tok    *tokenizer.Tokenizer
	client *http.Client
	addr   string // of a TCP listener, or ""
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newSite serves f in memory.
func newSite(t *testing.T, f *fake, o Options) *site {
	t.Helper()
	ln := fasthttputil.NewInmemoryListener()
	s := serveOn(t, ln, f, o)
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// newTCPSite serves f on a port of this machine.
func newTCPSite(t *testing.T, f *fake, o Options) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, ln, f, o)
	s.addr = ln.Addr().String()
	s.client = &http.Client{Transport: &http.Transport{ // its URLs say http, also where it speaks TLS
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			c, err := net.Dial("tcp", s.addr)
			if err == nil && o.TLS != nil {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			return c, err
		},
	}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// testTLS has the certificate of httptest.
func testTLS() *tls.Config {
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS()
	defer h.Close()
	return &tls.Config{Certificates: h.TLS.Certificates}
}

// template has conversations written by another chat template.
func (s *site) template(name, src string) {
	s.t.Helper()
	c, err := chat.Parse(name, src)
	if err != nil {
		s.t.Fatal(err)
	}
	s.setChat(c)
}

func (s *site) setChat(c *chat.Template) {
	m := *s.server.model.Load()
	m.Chat = c
	s.server.SetModel(m)
}

// dial opens a connection that gives up after 10 seconds.
func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := s.client.Transport.(*http.Transport).DialContext(s.t.Context(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func serveOn(t *testing.T, ln net.Listener, f *fake, o Options) *site {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet()
	}
	s := &site{t: t, server: New(o), fake: f, tok: testTokenizer(t)}
	if f.answer == nil {
		f.answer = says(generated(t, s.tok, "hello world"))
	}
	s.server.SetModel(Model{Name: "tiny", Tokenizer: s.tok, Generator: f, Chat: testChat(t), MaxContext: testContext, Created: time.Unix(1700000000, 0)})
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		f.running.Wait()
	})
	return s
}

// do sends one request, with headers as "Name: value".
func (s *site) do(method, path, body string, headers ...string) (*http.Response, []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://test"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: body: %v", method, path, err)
	}
	return resp, data
}

// answer is a completion as a client reads it.
type answer struct {
	ID, Object, Model string
	Choices           []struct {
		Index        int
		Text         string
		FinishReason *string `json:"finish_reason"`
		Logprobs     *struct {
			Tokens        []string
			TokenLogprobs []*float64           `json:"token_logprobs"`
			TopLogprobs   []map[string]float64 `json:"top_logprobs"`
			TextOffset    []int                `json:"text_offset"`
		}
	}
	Usage *usageJSON
}

// complete posts body and wants a 200.
func (s *site) complete(body string) answer {
	s.t.Helper()
	resp, data := s.do("POST", "/v1/completions", body)
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: status %d: %s", body, resp.StatusCode, data)
	}
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		s.t.Fatalf("%s: %v in %s", body, err, data)
	}
	return a
}

type errorAnswer struct {
	Error *struct {
		Message, Type string
		Param, Code   *string
	}
}

// wantError checks that an answer is error JSON of one of the statuses, and returns it.
func wantError(t *testing.T, resp *http.Response, data []byte, statuses ...int) (param, message string) {
	t.Helper()
	ok := false
	for _, s := range statuses {
		ok = ok || resp.StatusCode == s
	}
	var e errorAnswer
	if err := json.Unmarshal(data, &e); err != nil || e.Error == nil || e.Error.Message == "" || e.Error.Type == "" {
		t.Fatalf("status %d: not error JSON (%v): %.300s", resp.StatusCode, err, data)
	}
	if !ok {
		t.Fatalf("status %d, want one of %v: %s", resp.StatusCode, statuses, data)
	}
	for _, key := range []string{`"param"`, `"code"`} {
		if !bytes.Contains(data, []byte(key)) {
			t.Fatalf("error without %s: %s", key, data)
		}
	}
	if e.Error.Param != nil {
		param = *e.Error.Param
	}
	return param, e.Error.Message
}

// events is an open stream of server-sent events.
type events struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Reader
}

func (s *site) stream(body string) *events {
	s.t.Helper()
	resp, err := s.client.Post("http://test/v1/completions", "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		data, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s: status %d: %s", body, resp.StatusCode, data)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return &events{s.t, resp, bufio.NewReader(resp.Body)}
}

// next returns the next event without its "data: ", or a comment as it is.
func (e *events) next() (string, error) {
	line, err := e.r.ReadString('\n')
	if err != nil {
		return line, err
	}
	blank, err := e.r.ReadString('\n')
	if err == nil && blank != "\n" {
		e.t.Fatalf("event %q is followed by %q, want an empty line", line, blank)
	}
	return strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "data: "), err
}

// text returns the text of the next event, which must be a chunk with one choice.
func (e *events) text() string {
	e.t.Helper()
	line, err := e.next()
	var a answer
	if err == nil {
		err = json.Unmarshal([]byte(line), &a)
	}
	if err != nil || len(a.Choices) != 1 {
		e.t.Fatalf("want a chunk with one choice, got %q (%v)", line, err)
	}
	return a.Choices[0].Text
}

// rest returns all events to the end of the stream.
func (e *events) rest() (lines []string) {
	for {
		line, err := e.next()
		if err != nil {
			return lines
		}
		lines = append(lines, line)
	}
}
