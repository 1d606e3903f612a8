package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmqat/llmqat/internal/long"
)

// Clients that read slowly and clients that send slowly do not disturb others. LLMQAT_LONG is how many of each. What
// they cost is told by the server's processor time for an answer, as others may use the machine.
func TestSlowClients(t *testing.T) {
	p := ready(t, "--threads 1 --read-timeout 10m --write-timeout 10m")
	p.follow()
	n := long.Rounds(t, 20, 8)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	rounds, window := 1, 300*time.Millisecond
	if long.Run() {
		rounds, window = 4, 15*time.Second
	}
	type sum struct {
		answers int64
		cpu     time.Duration
	}
	normal := func(s *sum) {
		var all sync.WaitGroup
		var l traffic
		begin, end := p.cpu(t), time.Now().Add(window)
		for range 4 {
			all.Go(func() {
				for time.Now().Before(end) {
					l.post(client, p.url, `{"prompt":"Once upon a time","max_tokens":32,"temperature":0,"ignore_eos":true}`)
				}
			})
		}
		all.Wait()
		if l.failed.Load()+l.full.Load() > 0 {
			t.Errorf("%d normal requests failed, one with %v", l.failed.Load()+l.full.Load(), l.failure.Load())
		}
		s.answers += l.done.Load()
		s.cpu += p.cpu(t) - begin
	}
	var warm, alone, among sum
	normal(&warm)
	for range rounds {
		normal(&alone)
		stop := slowClients(t, p, n)
		normal(&among)
		stop()
	}
	if alone.answers == 0 || among.answers == 0 {
		t.Fatalf("%d answers without slow clients, %d with them", alone.answers, among.answers)
	}
	each := func(s sum) time.Duration { return (s.cpu / time.Duration(s.answers)).Round(time.Microsecond) }
	loss := 100 * (1 - float64(each(alone))/float64(each(among)))
	t.Logf("%d slow readers and %d slow senders: %d answers of %v each without them, %d of %v with them (%.1f %% less for others)",
		n, n, alone.answers, each(alone), among.answers, each(among), loss)
	if long.Run() && loss > 5 {
		t.Errorf("normal traffic loses %.1f %%, want at most 5", loss)
	}
}

// slowClients connects n that read a large answer a few bytes at a time and n that send their request so.
func slowClients(t *testing.T, p *process, n int) (stop func()) {
	t.Helper()
	var conns []net.Conn
	quit := make(chan struct{})
	var all sync.WaitGroup
	slowly := func(step func() error) {
		all.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if err := step(); err != nil {
						select {
						case <-quit:
						default:
							t.Errorf("a slow client was cut: %v", err)
						}
						return
					}
				case <-quit:
					return
				}
			}
		})
	}
	large := request(fmt.Sprintf(`{"prompt":"%s","max_tokens":0,"echo":true,"logprobs":5,"n":4}`, strings.Repeat(" a", 400)))
	for range n {
		reader, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		_ = reader.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(reader, large)
		buf := make([]byte, 16)
		if _, err := io.ReadFull(reader, buf); err != nil { // the answer is there
			t.Fatal(err)
		}
		slowly(func() error { _, err := io.ReadFull(reader, buf); return err })
		loris, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(loris, "POST /v1/completions HTTP/1.1\r\nHost: t\r\nX: ")
		slowly(func() error { _, err := io.WriteString(loris, "x"); return err })
		conns = append(conns, reader, loris)
	}
	return func() {
		close(quit)
		all.Wait()
		for _, c := range conns {
			c.Close()
		}
	}
}

// Memory does not grow with the requests that were answered, nor do files. LLMQAT_LONG is how many.
func TestTinyRequests(t *testing.T) {
	p := ready(t, "--threads 1")
	p.follow()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	n := long.Rounds(t, 600, 300)
	var l traffic
	some := func(n int) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range n / 4 {
					l.post(client, p.url, `{"prompt":"x","max_tokens":1}`)
				}
			})
		}
		all.Wait()
	}
	some(n / 10) // to be warm
	files, begin := p.files(t), time.Now()
	const samples = 18
	var rss, hours [samples]float64
	for i := range samples {
		some(n / 20)
		rss[i], hours[i] = float64(p.memory(t, "VmRSS"))/1024, time.Since(begin).Hours()
	}
	if l.failed.Load()+l.full.Load() > 0 {
		t.Errorf("%d failed, one with %v", l.failed.Load()+l.full.Load(), l.failure.Load())
	}
	if now := p.files(t); now > files {
		t.Errorf("%d files are open, %d were", now, files)
	}
	perHour := slope(hours[:], rss[:])
	t.Logf("%d requests in %v: RSS %.1f to %.1f MiB, slope %.2f MiB/h", l.done.Load(), time.Since(begin).Round(time.Second), rss[0], rss[samples-1], perHour)
	if grown := rss[samples-1] - rss[0]; long.Run() && grown > 16 {
		t.Errorf("RSS has grown by %.1f MiB", grown)
	}
}

// slope is that of the line of least squares.
func slope(x, y []float64) float64 {
	var mx, my, xy, xx float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	return xy / xx
}
