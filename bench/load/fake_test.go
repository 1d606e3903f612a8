package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakes are servers in memory, by address, for tests whose clock is synctest's.
type fakes struct {
	listeners map[string]*listener
}

// listener hands net.Pipe's ends over.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

// serveFakes starts a server for each handler, and has o dial them. It is to be called in a bubble.
func serveFakes(t *testing.T, o *Options, handlers map[string]http.HandlerFunc) {
	t.Helper()
	t.Cleanup(func() { time.Sleep(24 * time.Hour) }) // handlers that hang come to an end
	f := &fakes{map[string]*listener{}}
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
		f.listeners[name+":80"] = l
		server := &http.Server{Handler: handlers[name]}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		o.Servers = append(o.Servers, Server{Name: name, URL: "http://" + name, Model: "m"})
	}
	o.dialServer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		l := f.listeners[addr]
		if l == nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("no fake at %s", addr)}
		}
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-l.closed:
			return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
		}
	}
}

// bubble runs f where time passes only while everybody waits.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

const (
	tokenEvent = `data: {"choices":[{"text":"x","finish_reason":null}],"usage":null}` + "\n\n"
	lastEvent  = `data: {"choices":[{"text":"","finish_reason":"length"}]}` + "\n\n"
	doneEvent  = "data: [DONE]\n\n"
)

func usageEvent(prompt, output, cached int) string {
	return fmt.Sprintf(`data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}}`+"\n\n", prompt, output, cached)
}

// asked reads a request's body.
func asked(r *http.Request) (b body) {
	data, _ := io.ReadAll(r.Body)
	json.Unmarshal(data, &b)
	return b
}

// tell sends pieces of a stream, each at once; a time.Duration among them passes first.
func tell(w http.ResponseWriter, pieces ...any) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for _, p := range pieces {
		if d, ok := p.(time.Duration); ok {
			time.Sleep(d)
			continue
		}
		io.WriteString(w, p.(string))
		w.(http.Flusher).Flush()
	}
}

// steady answers completions after a wait for the first token, with a gap between tokens.
func steady(first, gap time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/completions" {
			http.NotFound(w, r)
			return
		}
		answer(w, asked(r), first, gap)
	}
}

func answer(w http.ResponseWriter, b body, first, gap time.Duration) {
	tell(w, first, tokenEvent)
	for range b.MaxTokens - 1 {
		tell(w, gap, tokenEvent)
	}
	ids, _ := b.Prompt.([]any)
	tell(w, lastEvent, usageEvent(len(ids), b.MaxTokens, 0), doneEvent)
}
