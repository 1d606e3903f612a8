package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmqat/llmqat/internal/long"
)

// traffic counts what the server answers to.
type traffic struct {
	done, full, failed atomic.Int64
	mu                 sync.Mutex
	refusals           spread
	failure            atomic.Pointer[string]
}

func (l *traffic) post(client *http.Client, url, body string) {
	begin := time.Now()
	_, err := postTo(client, url, body)
	switch {
	case err == nil:
		l.done.Add(1)
	case strings.HasPrefix(err.Error(), "429 ") && strings.Contains(err.Error(), `"rate_limit_error"`):
		l.full.Add(1)
		l.mu.Lock()
		l.refusals = append(l.refusals, time.Since(begin))
		l.mu.Unlock()
	default:
		l.failed.Add(1)
		s := err.Error()
		l.failure.CompareAndSwap(nil, &s)
	}
}

// atOnce bounds the connections that ask for too much: those that wait in the client would tell of the client.
const atOnce = 200

// At 20 times what the server can do, what it accepts is answered, the rest refused at once, and memory stays.
// LLMQAT_LONG is the seconds of it.
func TestOverload(t *testing.T) {
	p := ready(t, "--threads 1 --max-seqs 4 --max-queue 16")
	p.follow()
	const body = `{"prompt":"Once upon a time","max_tokens":128,"temperature":0,"ignore_eos":true}`
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, MaxConnsPerHost: atOnce}, Timeout: 5 * time.Minute}
	defer client.CloseIdleConnections()

	var calm traffic
	for range 2 { // as many as the queue takes
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() { calm.post(client, p.url, body) })
		}
		all.Wait()
	}
	begin := time.Now()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2 {
				calm.post(client, p.url, body)
			}
		})
	}
	all.Wait()
	capacity := 32 / time.Since(begin).Seconds()
	rss, connected, most := p.memory(t, "VmRSS"), int64(0), int64(0)
	if calm.done.Load() != 2*16+32 {
		t.Fatalf("within its capacity: %d answered, %d refused, %d failed: %v", calm.done.Load(), calm.full.Load(), calm.failed.Load(), calm.failure.Load())
	}

	var wild traffic
	seconds := long.Rounds(t, 2, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	begin = time.Now()
	asked, unsent := 0, 0
	var under atomic.Int64
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
			for due := int(20 * capacity * time.Since(begin).Seconds()); asked < due; asked++ {
				if under.Load() == atOnce {
					unsent++
					continue
				}
				under.Add(1)
				all.Go(func() {
					defer under.Add(-1)
					wild.post(client, p.url, body)
				})
			}
			if rss := p.memory(t, "VmRSS"); time.Since(begin) < time.Duration(seconds)*time.Second/10 {
				connected = max(connected, rss) // with all connections
			} else {
				most = max(most, rss)
			}
		}
	}
	took := time.Since(begin)
	all.Wait()
	t.Logf("capacity %.0f requests/s; %d asked for in %.1f s, %d of them unsent for lack of a connection: %d answered, %d refused (%v), %d failed",
		capacity, asked, took.Seconds(), unsent, wild.done.Load(), wild.full.Load(), wild.refusals, wild.failed.Load())
	t.Logf("RSS %.1f MiB at capacity, %.1f in the first tenth of the overload, %.1f at most later", float64(rss)/1024, float64(connected)/1024, float64(most)/1024)
	if n := wild.failed.Load(); n > 0 {
		t.Errorf("%d failed, one with %s", n, *wild.failure.Load())
	}
	if wild.done.Load() == 0 || wild.full.Load() == 0 {
		t.Error("want some answered and some refused")
	}
	if _, err := postTo(client, p.url, body); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if long.Run() && float64(most) > 1.1*float64(connected) {
		t.Errorf("RSS has grown by more than a tenth")
	}
	if long.Run() && wild.refusals.at(0.99) > 50*time.Millisecond {
		t.Errorf("the slowest percent was refused after %v, want 50 ms", wild.refusals.at(0.99))
	}
}
