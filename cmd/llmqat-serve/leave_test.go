package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/runtime/engine"
)

// Clients leave in the queue, in prefill and in decode, by FIN and by RST, plainly and over TLS, with answers whole and
// streamed. Each sequence ends soon; those who stay get the same answers as ever; nothing of those who left is left.
func TestClientsLeave(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a client that left is noticed by the next write only")
	}
	rounds := long.Rounds(t, 24, 12)
	for _, c := range []struct {
		phase string
		step  time.Duration
		o     engine.Options
		stay  int // clients that stay
	}{
		{"queue", time.Millisecond, engine.Options{MaxSeqs: 2, Budget: 512, MaxQueueTokens: 1 << 20}, 4},
		{"prefill", time.Millisecond, engine.Options{MaxSeqs: 12, Budget: 20}, 2},
		{"decode", time.Millisecond, engine.Options{MaxSeqs: 12, Budget: 512}, 2},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", c.phase, secure), func(t *testing.T) {
				before := []goleak.Option{goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
					goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")} // looks once a second whether to end
				files := openFiles()
				s := newSite(t, "", 1, c.step, c.o)
				ends := s.leaveAll(c.phase, secure, c.stay, max(1, rounds/6))
				s.idle()
				s.close()
				if err := goleak.Find(before...); err != nil {
					t.Error(err)
				}
				if n := openFiles(); n > files {
					t.Errorf("%d files are open, %d were", n, files)
				}
				t.Logf("ended after the client left: %v", ends)
				if long.Run() && ends.at(0.99) > 100*time.Millisecond {
					t.Errorf("the slowest percent took %v, want at most 100 ms", ends.at(0.99))
				}
			})
		}
	}
}

// leaveAll has n clients leave, eight at a time, and others stay meanwhile.
func (s *site) leaveAll(phase string, secure bool, stay, n int) spread {
	bodies := make([]string, stay)
	want := make([]string, stay)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"prompt":"Once upon a time, %d","max_tokens":60,"temperature":%d,"seed":%d,"ignore_eos":true,"priority":-1}`, i, i%2, i+1)
		var err error
		if want[i], err = s.post(bodies[i]); err != nil {
			s.t.Fatal(err)
		}
	}
	var over atomic.Bool
	var staying, leaving sync.WaitGroup
	var answers atomic.Int64
	for i := range bodies {
		staying.Go(func() {
			for done := false; !done; answers.Add(1) {
				done = over.Load()
				if got, err := s.post(bodies[i]); err != nil || got != want[i] {
					s.t.Errorf("one who stayed got %.100s (%v), alone it was %.100s", got, err, want[i])
					return
				}
			}
		})
	}
	var mu sync.Mutex
	var ends spread
	var next atomic.Int64
	for range min(8, n) {
		leaving.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) || s.t.Failed() {
					return
				}
				d := s.leave(phase, secure, uint64(1000+i))
				mu.Lock()
				ends = append(ends, d)
				mu.Unlock()
			}
		})
	}
	leaving.Wait()
	over.Store(true)
	staying.Wait()
	s.t.Logf("%d clients left, %d of them in decode already; %d answers of those who stayed", n, s.late.Load(), answers.Load())
	return ends
}

// leave sends a request and leaves in its phase; it returns how long the engine worked on.
func (s *site) leave(phase string, secure bool, seed uint64) time.Duration {
	r := rand.New(rand.NewPCG(seed, 6))
	c := newCourse()
	first := c.first
	s.watched.seeds.Store(seed, c)
	defer s.watched.seeds.Delete(seed)

	addr := s.addr
	if secure {
		addr = s.tls
	}
	under, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	defer under.Close()
	conn := under
	if secure {
		conn = tls.Client(under, &tls.Config{InsecureSkipVerify: true})
	}
	streams := r.IntN(2) == 0
	prompt, answer := 40, 460
	if phase == "prefill" {
		prompt, answer = 430, 60
	}
	body := fmt.Sprintf(`{"prompt":"%d%s","max_tokens":%d,"stream":%v,"ignore_eos":true,"seed":%d}`, seed, strings.Repeat(" a", prompt), answer, streams, seed)
	io.WriteString(conn, request(body))
	select {
	case <-c.arrived:
	case <-time.After(time.Minute):
		s.t.Errorf("seed %d: the request did not arrive", seed)
		return 0
	}
	switch phase {
	case "queue", "prefill":
		time.Sleep(time.Duration(r.IntN(8000)) * time.Microsecond)
	case "decode":
		<-first
		if streams {
			if err := tokens(bufio.NewReader(conn), 1+r.IntN(5)); err != nil {
				s.t.Error(err)
			}
		}
	}
	if phase != "decode" {
		select {
		case <-first:
			s.late.Add(1)
		default:
		}
	}
	if r.IntN(2) == 0 {
		under.(*net.TCPConn).SetLinger(0) // RST
	}
	left := time.Now()
	under.Close()
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		s.t.Errorf("seed %d: left in %s, and the engine works on", seed, phase)
		return time.Minute
	}
	if c.err == nil {
		s.t.Errorf("seed %d: left in %s, and the answer was finished", seed, phase)
	}
	return c.at.Sub(left)
}
