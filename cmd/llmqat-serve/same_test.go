package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/engine"
)

// words make prompts.
var words = strings.Fields("Once upon a time there was little girl named Lily she loved to play with her big red ball in the park and one day saw small dog who wanted some cake")

func text(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(words[r.IntN(len(words))] + " ")
	}
	return b.String()
}

// set returns requests of up to so many tokens, of which most begin alike, longer than a page.
func set(r *rand.Rand, n, most int) (bodies []string) {
	shared := text(r, 30+r.IntN(60))
	for i := range n {
		prompt := shared + text(r, 1+r.IntN(10))
		if i == 0 || most > 24 { // long answers of many pages: their prompts share none
			prompt = text(r, 1+r.IntN(60))
		}
		extra := []string{``, `,"logprobs":3`, `,"ignore_eos":true`, `,"temperature":0.9,"seed":7,"top_p":0.9`}[r.IntN(4)]
		limit := 1 + r.IntN(most)
		if most > 24 {
			extra, limit = `,"ignore_eos":true`, most
		}
		bodies = append(bodies, fmt.Sprintf(`{"prompt":"%s","max_tokens":%d,"temperature":0%s}`, prompt, limit, extra))
		if strings.Contains(extra, "temperature") {
			bodies[i] = strings.Replace(bodies[i], `"temperature":0,`, "", 1)
		}
	}
	return bodies
}

// The same requests have the same answers, logprobs and seeded draws included, through the generic kernels one by
// one, and through the best ones, batched, in chunks, from the prefix cache, preempted, with one thread and with several.
func TestSameAnswersEverywhere(t *testing.T) {
	plain, best := cpu.ISAs()[0], cpu.ISAs()[len(cpu.ISAs())-1]
	if testing.Short() { // generic loops are slow under the race detector, which sees them in package cpu
		plain = best
	}
	base := newSite(t, plain, 1, 0, engine.Options{MaxSeqs: 1})
	page := base.engine.Info().KVBytes / int64(base.engine.Info().KVPages)
	type setting struct {
		name string
		*site
		together bool
	}
	settings := []setting{
		{"batch 1 on " + best, newSite(t, best, 1, 0, engine.Options{MaxSeqs: 1}), false},
		{"batched, 3 threads", newSite(t, best, 3, 0, engine.Options{MaxSeqs: 6}), true},
		{plain + ", batched, 2 threads", newSite(t, plain, 2, 0, engine.Options{MaxSeqs: 6}), true},
		{"chunks of 9", newSite(t, best, 1, 0, engine.Options{MaxSeqs: 4, Budget: 9}), true},
		{"a full cache", newSite(t, best, 2, 100*time.Microsecond, engine.Options{MaxSeqs: 6, KVBytes: 8 * page, MaxQueueTokens: 1 << 20}), true},
	}
	r := rand.New(rand.NewPCG(long.Seed(t), 17))
	n, asked := long.Rounds(t, 4, 1), 0
	for round := range n {
		bodies := set(r, 6, 12+138*(round%4/3))
		want := make([]string, len(bodies))
		for i, body := range bodies {
			var err error
			if want[i], err = base.post(body); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range settings {
			same := func(i int) {
				if got, err := s.post(bodies[i]); err != nil || got != want[i] {
					t.Errorf("set %d, %s: %s\ngot  %s (%v)\nwant %s", round, s.name, bodies[i], got, err, want[i])
				}
			}
			var all sync.WaitGroup
			for i := range bodies {
				if asked++; s.together {
					all.Go(func() { same(i) })
				} else {
					same(i)
				}
			}
			all.Wait()
		}
		if t.Failed() {
			t.Fatal("again, with the sets before it: LLMQAT_LONG=", round+1)
		}
		if round%100 == 99 {
			t.Logf("%d of %d sets", round+1, n)
		}
	}
	if x := settings[4].engine.Stats(); long.Run() && x.Preempted == 0 {
		t.Errorf("%s preempted nobody: %+v", settings[4].name, x)
	}
	if x := settings[1].engine.Stats(); x.CachedTokens == 0 {
		t.Errorf("%s shared nothing: %+v", settings[1].name, x)
	}
	for _, s := range settings {
		x := s.engine.Stats()
		t.Logf("%s: %d prompt tokens computed, %d cached, %d preempted", s.name, x.PromptTokens, x.CachedTokens, x.Preempted)
	}
	t.Logf("%d sets, %d answers compared, on %v", n, asked, cpu.ISAs())
}

// Whatever others do, who is not cancelled gets the answer that it gets alone, and /health answers.
func TestCancelledRequestsDisturbNobody(t *testing.T) {
	s := newSite(t, "", 2, time.Millisecond, engine.Options{MaxSeqs: 4, Budget: 40})
	r := rand.New(rand.NewPCG(long.Seed(t), 7))
	bodies := append(set(r, 6, 24), set(r, 6, 24)...)
	want := make([]string, len(bodies))
	for i, body := range bodies {
		var err error
		if want[i], err = s.post(body); err != nil {
			t.Fatal(err)
		}
	}
	var health spread
	over := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
			begin := time.Now()
			resp, err := http.Get("http://" + s.addr + "/health")
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			health = append(health, time.Since(begin))
		}
	})
	n := long.Rounds(t, 20, 5)
	for range n {
		var all sync.WaitGroup
		for range 3 + r.IntN(6) {
			i, leaves, after := r.IntN(len(bodies)), r.IntN(2) == 0, time.Duration(r.IntN(40000))*time.Microsecond
			all.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if leaves {
					defer time.AfterFunc(after, cancel).Stop()
				}
				req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/v1/completions", strings.NewReader(bodies[i]))
				got, err := choices(s.client.Do(req))
				if (err != nil || got != want[i]) && ctx.Err() == nil {
					t.Errorf("%s\ngot  %s (%v)\nwant %s", bodies[i], got, err, want[i])
				}
			})
		}
		all.Wait()
		if t.Failed() {
			break
		}
	}
	close(over)
	looking.Wait()
	s.idle()
	x := s.engine.Stats()
	t.Logf("%d interleavings, %d requests cancelled; /health: %v", n, x.Cancelled, health)
	if x.Cancelled == 0 {
		t.Error("nobody was cancelled")
	}
	if long.Run() && health.at(0.99) > 100*time.Millisecond {
		t.Errorf("/health takes %v, want at most 100 ms", health.at(0.99))
	}
}
