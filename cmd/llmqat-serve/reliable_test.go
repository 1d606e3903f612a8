package main

import (
	"bufio"
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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve"
)

// site is a server of the demo model in this process, plain and over TLS, whose engine can be looked at.
type site struct {
	t         *testing.T
	engine    *engine.Engine
	watched   *watched
	addr, tls string
	client    *http.Client // of addr
	late      atomic.Int64 // clients that left in a later phase than they should
	close     func()
}

// slowed is a device whose steps take a while, as those of larger models do.
type slowed struct {
	*cpu.Device
	step time.Duration
}

func (s slowed) Sync() error {
	time.Sleep(s.step)
	return s.Device.Sync()
}

// newSite serves the demo model; step is how much longer than it takes each of its steps takes.
func newSite(t *testing.T, isa string, threads int, step time.Duration, o engine.Options) *site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "demo.qat")
	if err := os.WriteFile(path, demo, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(threads, isa)
	if err != nil {
		t.Fatal(err)
	}
	o.Device, o.Threads = dev, threads
	if step > 0 {
		o.Device = slowed{dev, step}
	}
	e, err := engine.New(file, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, engine: e, watched: &watched{Engine: e}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	server := serve.New(serve.Options{Log: slog.New(slog.DiscardHandler)})
	server.SetModel(serve.Model{Name: demoName, Tokenizer: file.Header().Tokenizer, Generator: s.watched, MaxContext: e.Info().MaxContext})
	var served sync.WaitGroup
	listen := func(wrap func(net.Listener) net.Listener) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served.Go(func() {
			if err := server.Serve(wrap(ln)); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
		return ln.Addr().String()
	}
	s.addr = listen(func(ln net.Listener) net.Listener { return ln })
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS() // for its certificate
	defer h.Close()
	certificates := h.TLS.Certificates
	s.tls = listen(func(ln net.Listener) net.Listener {
		return tls.NewListener(ln, &tls.Config{Certificates: certificates})
	})
	s.close = sync.OnceFunc(func() {
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		served.Wait()
		e.Close()
		s.watched.open.Wait()
		dev.Close()
		file.Close()
	})
	t.Cleanup(s.close)
	return s
}

// idle waits until the engine has nothing to do and wants every page free.
func (s *site) idle() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		x := s.engine.Stats()
		if x.Waiting == 0 && x.Running == 0 && x.FreePages == s.engine.Info().KVPages {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not idle, of %d pages: %+v", s.engine.Info().KVPages, x)
		}
	}
}

// post returns the choices of a completion, as they came.
func (s *site) post(body string) (string, error) {
	return postTo(s.client, "http://"+s.addr, body)
}

func postTo(client *http.Client, url, body string) (string, error) {
	return choices(client.Post(url+"/v1/completions", "application/json", strings.NewReader(body)))
}

// choices returns those of an answer, as they came.
func choices(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var a struct{ Choices json.RawMessage }
	if err := json.Unmarshal(data, &a); err != nil || resp.StatusCode != 200 {
		return "", fmt.Errorf("%d %.300s (%v)", resp.StatusCode, data, err)
	}
	return string(a.Choices), nil
}

// request is the text of a POST of body.
func request(body string) string {
	return fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// tokens reads n events of a stream.
func tokens(r *bufio.Reader, n int) error {
	for n > 0 {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "data: ") {
			n--
		}
	}
	return nil
}

// watched is an engine that tells of each request, which its seed names, when its first token was there and when it ended.
type watched struct {
	*engine.Engine
	seeds sync.Map // seed -> *course
	open  sync.WaitGroup
}

// course is what happens to one request.
type course struct {
	arrived, first, ended chan struct{} // closed
	at                    time.Time     // of ended
	err                   error
}

func newCourse() *course {
	return &course{make(chan struct{}), make(chan struct{}), make(chan struct{}), time.Time{}, nil}
}

func (w *watched) Generate(ctx context.Context, r engine.Request) (<-chan engine.Event, error) {
	events, err := w.Engine.Generate(ctx, r)
	v, ok := w.seeds.Load(r.Sampling.Seed)
	if err != nil || !ok {
		return events, err
	}
	c := v.(*course)
	close(c.arrived)
	out := make(chan engine.Event, cap(events))
	w.open.Go(func() {
		defer close(out)
		for e := range events {
			switch {
			case e.Kind == engine.KindToken && c.first != nil:
				close(c.first)
				c.first = nil
			case e.Kind == engine.KindDone:
				c.at, c.err = time.Now(), e.Err
				close(c.ended)
			}
			out <- e
		}
	})
	return out, nil
}

// spread is the median, the 99th percentile and the largest of some durations.
type spread []time.Duration

func (s spread) at(share float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	slices.Sort(s)
	return s[min(len(s)-1, int(share*float64(len(s))))].Round(10 * time.Microsecond)
}

func (s spread) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", s.at(0.5), s.at(0.99), s.at(1), len(s))
}

// openFiles counts this process' file descriptors, -1 where nobody tells.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(list)
}
