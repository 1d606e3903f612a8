package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/llmqat/llmqat/runtime/engine"
)

// soon waits for what another goroutine is about to do.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// shortListener is out of file descriptors at first.
type shortListener struct {
	*fasthttputil.InmemoryListener
	short atomic.Int32
}

func (l *shortListener) Accept() (net.Conn, error) {
	errs := []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED}
	if n := l.short.Add(-1); n >= 0 {
		return nil, &net.OpError{Op: "accept", Err: errs[int(n)%len(errs)]}
	}
	return l.InmemoryListener.Accept()
}

// Trap: EMFILE on accept makes Serve return.
func TestOutOfFileDescriptors(t *testing.T) {
	ln := &shortListener{InmemoryListener: fasthttputil.NewInmemoryListener()}
	ln.short.Store(4)
	s := serveOn(t, ln, &fake{}, Options{})
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}}
	defer s.client.CloseIdleConnections()
	s.complete(goodBody)
}

// Closing must end the wait for a file descriptor, and other errors must end Serve.
func TestAcceptGivesUp(t *testing.T) {
	in := &shortListener{InmemoryListener: fasthttputil.NewInmemoryListener()}
	in.short.Store(1 << 30)
	ln := newListener(in, time.Second, 10, quiet())
	failed := make(chan error)
	go func() {
		_, err := ln.Accept()
		failed <- err
	}()
	ln.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if passes(errors.New("broken")) || passes(syscall.EBADF) {
		t.Error("any error passes")
	}
}

// blocked answers with one token and then waits to be cancelled.
func blocked(cancelled chan<- struct{}) *fake {
	return &fake{answer: func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		send(token(r, 3+'a', 0))
		<-ctx.Done()
		send(engine.Event{Kind: engine.KindDone, Err: ctx.Err()})
		cancelled <- struct{}{}
	}}
}

// Trap: a client's leaving is never reported. Every way to leave must end the sequence, streamed or not, though
// the server has nothing to write.
func TestClientLeaves(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("leave_other.go: noticed by the next write only")
	}
	ways := map[string]func(c *net.TCPConn){
		"close":       func(c *net.TCPConn) { c.Close() },
		"reset":       func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"close write": func(c *net.TCPConn) { c.CloseWrite() },
	}
	for _, secure := range []bool{false, true} {
		for way, leave := range ways {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("tls=%v/%s/stream=%v", secure, way, stream), func(t *testing.T) {
					cancelled := make(chan struct{}, 1)
					f := blocked(cancelled)
					s, dial := leavingSite(t, f, secure)
					c, under := dial()
					defer under.Close()
					body := fmt.Sprintf(`{"prompt":"x","stream":%v}`, stream)
					fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
					if stream {
						if line, err := bufio.NewReader(c).ReadString('\n'); !strings.Contains(line, "200") {
							t.Fatalf("%q, %v", line, err)
						}
					} else {
						soon(t, "the request runs", func() bool { return s.server.counters.running.Get() == 1 })
					}
					leave(under)
					select {
					case <-cancelled:
					case <-time.After(10 * time.Second):
						t.Fatal("the sequence goes on")
					}
					soon(t, "the request is over", func() bool { return s.server.counters.running.Get() == 0 })
					if n := s.server.counters.clientsLeft.Get(); n != 1 {
						t.Errorf("%d clients left, want 1", n)
					}
				})
			}
		}
	}
}

func leavingSite(t *testing.T, f *fake, secure bool) (*site, func() (net.Conn, *net.TCPConn)) {
	t.Helper()
	o := Options{}
	if secure {
		o.TLS = testTLS()
	}
	s := newTCPSite(t, f, o)
	return s, func() (net.Conn, *net.TCPConn) {
		c := s.dial()
		if secure {
			return c, c.(*tls.Conn).NetConn().(*net.TCPConn)
		}
		return c, c.(*net.TCPConn)
	}
}

// A client that is only slow to send its next request, or sends it early, has not left.
func TestClientStays(t *testing.T) {
	next := make(chan struct{})
	s := newTCPSite(t, &fake{answer: func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		select {
		case <-next:
			send(done(engine.ReasonStop))
		case <-ctx.Done():
			send(engine.Event{Kind: engine.KindDone, Err: ctx.Err()})
		}
	}}, Options{})
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s", len(goodBody), goodBody)
	io.WriteString(c, request+request) // pipelined
	time.Sleep(3 * leavePoll)          // long enough to be taken for gone
	close(next)
	r := bufio.NewReader(c)
	for i := range 2 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("answer %d: %v %v", i, resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
}

// Trap: the stream outlives the handler, and fasthttp reuses the request's memory.
func TestAStreamKeepsNothingOfTheRequest(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	handler := s.server.http.Handler
	s.server.http.Handler = func(ctx *fasthttp.RequestCtx) {
		handler(ctx)
		body := ctx.PostBody()
		for i := range body {
			body[i] = 'X'
		}
	}
	lines := s.stream(`{"model":"tiny","prompt":"say hello ","stream":true,"echo":true,"stop":["world","hello w"]}`).rest()
	if got := joinTexts(t, lines); got != "say hello " {
		t.Errorf("%q: the handler's memory shows in the stream", got)
	}
}

// Trap: WriteTimeout cuts long streams. A reader that goes on reading may take longer than the timeout, one that
// stops is cut.
func TestWriteDeadlineIsPerFlush(t *testing.T) {
	const timeout = 200 * time.Millisecond
	s := newSite(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
		for range 8 {
			time.Sleep(timeout / 4)
			send(token(r, 3+'a', 0))
		}
		send(done(engine.ReasonStop))
	}}, Options{WriteTimeout: timeout})
	if got := joinTexts(t, s.stream(`{"prompt":"x","stream":true}`).rest()); got != "aaaaaaaa" {
		t.Errorf("a long stream: %q", got)
	}

	c1, c2 := net.Pipe() // takes nothing that is not read
	defer c1.Close()
	defer c2.Close()
	slow := &conn{Conn: c1, writeTimeout: timeout}
	if _, err := slow.Write(make([]byte, 10)); !errors.Is(err, syscall.ETIMEDOUT) && !isTimeout(err) {
		t.Errorf("a reader that stopped: %v, want a timeout", err)
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// An answer larger than one step goes on as long as the reader does.
func TestLargeWritesHaveManyDeadlines(t *testing.T) {
	c1, c2 := net.Pipe()
	defer c2.Close()
	w := &conn{Conn: c1, writeTimeout: time.Second}
	const steps = 5
	go func() {
		buf := make([]byte, writeStep)
		for range steps {
			time.Sleep(250 * time.Millisecond) // more than the timeout in all
			io.ReadFull(c2, buf)
		}
	}()
	if n, err := w.Write(make([]byte, steps*writeStep)); n != steps*writeStep || err != nil {
		t.Errorf("wrote %d: %v", n, err)
	}
	c1.Close()
}

// Trap: read and idle timeouts default to none.
func TestSlowAndIdleClientsAreClosed(t *testing.T) {
	const timeout = 150 * time.Millisecond
	s := newTCPSite(t, &fake{}, Options{ReadTimeout: timeout, IdleTimeout: timeout})
	for name, first := range map[string]string{
		"silent": "",
		"idle":   "GET /health HTTP/1.1\r\nHost: t\r\n\r\n",
	} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, first)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: %v, want the connection closed", name, err)
		}
	}
	// slow-loris: a byte at a time never ends
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	loris := make(chan struct{})
	go func() {
		defer close(loris)
		for i := 0; ; i++ {
			if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: tttttttttttttttttttttttttttttttttttttttttttttttt"[i%60:][:1]); err != nil {
				return
			}
			time.Sleep(timeout / 8)
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	data, err := io.ReadAll(c)
	if isTimeout(err) {
		t.Errorf("slow-loris still connected: %q, %v", data, err)
	}
	c.Close()
	<-loris
}

// Trap: idle worker goroutines linger. TestMain looks for them a second after the last test; here, that the
// server was told to.
func TestWorkersDoNotLinger(t *testing.T) {
	if d := New(Options{Log: quiet()}).http.MaxIdleWorkerDuration; d <= 0 || d > time.Second {
		t.Errorf("workers idle for %v", d)
	}
}
