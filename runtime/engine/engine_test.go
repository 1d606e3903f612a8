package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/llmqat/llmqat/runtime/model"
	"github.com/llmqat/llmqat/runtime/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine runs f with a small cache: 8 pages, 3 sequences, 32 tokens a step.
func fakeEngine(t *testing.T, f *fake) *Engine {
	t.Helper()
	e, err := start(f, Info{VocabSize: fakeVocab, MaxContext: 300, KVPages: 8},
		Options{Threads: 2, MaxSeqs: 3, Budget: 32, Chunk: 32, MaxQueue: 4, MaxQueueTokens: 1000}, []int32{fakeEOS})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// collect reads a request's events, and checks their form.
func collect(t *testing.T, events <-chan Event) (prompt, answer []Token, done Event) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	cached := -1 // as the answer's tokens say
	for {
		select {
		case ev, ok := <-events:
			switch {
			case !ok:
				t.Fatal("the channel was closed without a last event")
			case ev.Kind == KindPrompt && prompt == nil && answer == nil:
				prompt = ev.Prompt
			case ev.Kind == KindToken && ev.Waited > 0:
				answer, cached = append(answer, ev.Token), ev.Cached
			case ev.Kind == KindDone:
				if cached >= 0 && ev.Cached != cached {
					t.Fatalf("the tokens came with %d cached ones of the prompt, the end with %d", cached, ev.Cached)
				}
				if _, more := <-events; more {
					t.Fatal("an event follows the last one")
				}
				if ev.Reason == ReasonStop {
					answer = append(answer, ev.Token)
				}
				return prompt, answer, ev
			default:
				t.Fatalf("unexpected event %+v", ev)
			}
		case <-limit:
			t.Fatal("no event for 2 minutes")
		}
	}
}

func generate(t *testing.T, e *Engine, ctx context.Context, r Request) <-chan Event {
	t.Helper()
	events, err := e.Generate(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// check compares an answer with what the request gives alone.
func check(t *testing.T, r Request, prompt, answer []Token, done Event) {
	t.Helper()
	wantPrompt, want := alone(r)
	reason := ReasonLength
	if n := len(want); n > 0 && want[n-1].ID == fakeEOS && !r.IgnoreEOS {
		reason = ReasonStop
	}
	if done.Err != nil || done.Reason != reason {
		t.Errorf("ended with %q, %v; want %q", done.Reason, done.Err, reason)
	}
	if d := cmp.Diff(want, answer); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wantPrompt, prompt); d != "" {
		t.Errorf("prompt logprobs (-want +got):\n%s", d)
	}
}

// idle waits until nothing is left, and wants every page free.
func idle(t *testing.T, e *Engine) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		s := e.Stats()
		if s.Waiting == 0 && s.Running == 0 && s.FreePages == e.Info().KVPages {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not idle: %+v", s)
		}
	}
}

// some returns a random request.
func some(r *rand.Rand) Request {
	q := Request{MaxTokens: 1 + r.IntN(100), Logprobs: r.IntN(4) - 1, IgnoreEOS: r.IntN(2) == 0}
	if r.IntN(2) == 0 { // one of a few beginnings, which requests share
		for i := range r.IntN(140) {
			q.IDs = append(q.IDs, int32(i%(7+r.IntN(2))))
		}
	}
	for range 1 + r.IntN(150-len(q.IDs)) {
		q.IDs = append(q.IDs, int32(r.IntN(fakeVocab)))
	}
	q.Priority, q.Client, q.CacheSalt = r.IntN(3)/2, string('a'+rune(r.IntN(3))), string('a'+rune(r.IntN(4)/3))
	if q.IDs[len(q.IDs)-1] == mute {
		q.IDs[len(q.IDs)-1] = 0
	}
	if r.IntN(4) > 0 {
		q.Sampling = sample.Params{Temperature: 1, Seed: r.Uint64(), TopK: r.IntN(2) * r.IntN(fakeVocab), TopP: float64(r.IntN(3)) / 3, MinP: float64(r.IntN(3)) / 10}
	}
	switch r.IntN(6) {
	case 0:
		q.Sampling.FrequencyPenalty = 1
	case 1:
		q.Sampling.LogitBias = map[int32]float32{int32(r.IntN(mute)): 2}
	}
	if q.Logprobs >= 0 && r.IntN(2) == 0 {
		if q.LogprobsFrom = 1 + r.IntN(len(q.IDs)); r.IntN(3) == 0 {
			q.MaxTokens = 0
		}
	}
	return q
}

// However requests share steps, pages and places, and whoever leaves meanwhile,
// each gets what it gets alone; also where the device draws what it may.
func TestRequestsDoNotDisturbEachOther(t *testing.T) {
	for _, draw := range []bool{false, true} {
		t.Run(fmt.Sprintf("draw=%v", draw), func(t *testing.T) { together(t, draw) })
	}
}

func together(t *testing.T, draw bool) {
	f := newFake()
	f.draw = draw
	e := fakeEngine(t, f)
	var wg sync.WaitGroup
	for client := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(client)))
			for range 30 {
				q := some(r)
				ctx, cancel := context.WithCancel(context.Background())
				leaves := r.IntN(3) == 0
				after := r.IntN(20)
				events, err := e.Generate(ctx, q)
				for errors.Is(err, ErrQueueFull) {
					time.Sleep(time.Millisecond)
					events, err = e.Generate(ctx, q)
				}
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				if leaves {
					for range after {
						if ev := <-events; ev.Kind == KindDone {
							break
						}
					}
					cancel()
					continue
				}
				prompt, answer, done := collect(t, events)
				check(t, q, prompt, answer, done)
				cancel()
			}
		})
	}
	wg.Wait()
	idle(t, e)
}

func TestBadRequests(t *testing.T) {
	e := fakeEngine(t, newFake())
	ids := []int32{1}
	for _, c := range []struct {
		name  string
		r     Request
		param string // of a *sample.ParamError
		is    error
	}{
		{"empty prompt", Request{MaxTokens: 1, Logprobs: -1}, "prompt", nil},
		{"unknown token", Request{IDs: []int32{1, fakeVocab}, MaxTokens: 1, Logprobs: -1}, "prompt", nil},
		{"negative token", Request{IDs: []int32{-1}, MaxTokens: 1, Logprobs: -1}, "prompt", nil},
		{"nothing to do", Request{IDs: ids, Logprobs: -1}, "max_tokens", nil},
		{"negative length", Request{IDs: ids, MaxTokens: -5, Logprobs: -1}, "max_tokens", nil},
		{"too many logprobs", Request{IDs: ids, MaxTokens: 1, Logprobs: 21}, "logprobs", nil},
		{"prompt logprobs without", Request{IDs: ids, MaxTokens: 1, Logprobs: -1, LogprobsFrom: 1}, "logprobs", nil},
		{"sampling", Request{IDs: ids, MaxTokens: 1, Logprobs: -1, Sampling: sample.Params{TopP: 2}}, "top_p", nil},
		{"too long", Request{IDs: ids, MaxTokens: 300, Logprobs: -1}, "", ErrTooLong},
		{"far too long", Request{IDs: ids, MaxTokens: 1<<63 - 1, Logprobs: -1}, "", ErrTooLong},
		{"logprobs from behind the prompt", Request{IDs: ids, MaxTokens: 1, LogprobsFrom: 2}, "logprobs_from", nil},
		{"long prompt", Request{IDs: make([]int32, 302), LogprobsFrom: 1}, "", ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, err := e.Generate(context.Background(), c.r)
			var p *sample.ParamError
			if errors.As(err, &p) {
				if p.Param != c.param {
					t.Errorf("error about %s, want %s: %v", p.Param, c.param, err)
				}
			} else if c.is == nil || !errors.Is(err, c.is) {
				t.Errorf("error %v, want one about %s or %v", err, c.param, c.is)
			}
			if events != nil {
				t.Error("a channel beside the error")
			}
		})
	}
}

// A request that ends by its context, wherever it is, frees its pages.
func TestCancel(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	e := fakeEngine(t, f)
	defer close(f.gate)
	long := Request{IDs: make([]int32, 100), MaxTokens: 100, Logprobs: -1, IgnoreEOS: true}
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		steps int
	}{{"before its first step", 0}, {"in its prompt", 2}, {"while it decodes", 8}} {
		t.Run(c.name, func(t *testing.T) {
			one, cancel := context.WithCancel(ctx)
			events := generate(t, e, one, long)
			for range c.steps {
				f.gate <- struct{}{}
			}
			cancel()
			for done := false; !done; { // the step in flight, if any
				select {
				case f.gate <- struct{}{}:
				case <-time.After(time.Millisecond):
				}
				done = e.Stats().FreePages == 8 && e.Stats().Waiting == 0
			}
			if _, _, done := collect(t, events); !errors.Is(done.Err, context.Canceled) {
				t.Errorf("ended with %+v, want the context's error", done)
			}
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	entered := make(chan struct{}, 100)
	f.seen = func([]model.Run) { entered <- struct{}{} }
	e := fakeEngine(t, f)
	ctx := context.Background()
	r := Request{IDs: []int32{1}, MaxTokens: 10, Logprobs: -1}
	list := []<-chan Event{generate(t, e, ctx, r)}
	<-entered // it no longer waits
	for range 4 {
		list = append(list, generate(t, e, ctx, r))
	}
	if _, err := e.Generate(ctx, r); !errors.Is(err, ErrQueueFull) {
		t.Errorf("the fifth waiting request: %v, want ErrQueueFull", err)
	}
	if s := e.Stats(); s.Waiting != 4 || s.WaitingTokens != 4*11 {
		t.Errorf("%d requests of %d tokens wait, want 4 of 44", s.Waiting, s.WaitingTokens)
	}
	close(f.gate)
	for _, events := range list {
		prompt, answer, done := collect(t, events)
		check(t, r, prompt, answer, done)
		if done.Waited <= 0 {
			t.Errorf("waited %v", done.Waited)
		}
	}
	idle(t, e)
	if s := e.Stats(); s.WaitingTokens != 0 || s.Busy <= 0 {
		t.Errorf("%d tokens wait, and steps took %v", s.WaitingTokens, s.Busy)
	}
	prompt, answer, done := collect(t, generate(t, e, ctx, r)) // there is room again
	check(t, r, prompt, answer, done)
}

func TestQueuedTokensAreBounded(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	entered := make(chan struct{}, 1)
	e := fakeEngine(t, f)
	f.seen = func([]model.Run) { entered <- struct{}{} }
	ctx := context.Background()
	big := Request{IDs: make([]int32, 200), MaxTokens: 100, Logprobs: -1}
	first := generate(t, e, ctx, big)
	<-entered
	for range 3 {
		generate(t, e, ctx, big)
	}
	if _, err := e.Generate(ctx, big); !errors.Is(err, ErrQueueFull) || !strings.Contains(err.Error(), "900 tokens wait") {
		t.Errorf("300 tokens beside 900 of 1000: %v, want ErrQueueFull that says so", err)
	}
	go func() { // drop the rest of the work
		for range entered {
		}
	}()
	go e.Close()
	close(f.gate)
	if _, _, done := collect(t, first); !errors.Is(done.Err, ErrClosed) {
		t.Errorf("ended with %+v, want ErrClosed", done)
	}
	e.Close()
	close(entered)
}

// A request's own ends end it as EOS does, unless it goes past them.
func TestEnds(t *testing.T) {
	e := fakeEngine(t, newFake())
	ctx := context.Background()
	r := Request{IDs: []int32{1, 2}, MaxTokens: 9, Logprobs: -1, IgnoreEOS: true}
	_, whole, _ := collect(t, generate(t, e, ctx, r))
	r.Ends = []int32{-1, whole[3].ID}
	if _, answer, done := collect(t, generate(t, e, ctx, r)); len(answer) != len(whole) || done.Reason != ReasonLength {
		t.Errorf("%d tokens, %q: want all %d past the ends", len(answer), done.Reason, len(whole))
	}
	r.IgnoreEOS = false
	want := 1 + slices.IndexFunc(whole, func(k Token) bool { return k.ID == r.Ends[1] || k.ID == fakeEOS })
	if _, answer, done := collect(t, generate(t, e, ctx, r)); len(answer) != want || done.Reason != ReasonStop || whole[want-1].ID == fakeEOS {
		t.Errorf("%d tokens, %q: want %d and stop", len(answer), done.Reason, want)
	}
	idle(t, e)
}

// A failing device ends the requests of that step, and no others.
func TestDeviceError(t *testing.T) {
	f := newFake()
	e := fakeEngine(t, f)
	ctx := context.Background()
	r := Request{IDs: []int32{1, 2}, MaxTokens: 5, Logprobs: -1, IgnoreEOS: true}
	err := errFake
	f.fail.Store(&err)
	if _, answer, done := collect(t, generate(t, e, ctx, r)); !errors.Is(done.Err, errFake) || len(answer) != 0 {
		t.Errorf("ended with %v after %d tokens, want the device's error and none", done.Err, len(answer))
	}
	prompt, answer, done := collect(t, generate(t, e, ctx, r))
	check(t, r, prompt, answer, done)
	if s := e.Stats(); s.Failed != 1 {
		t.Errorf("%d requests failed, want 1", s.Failed)
	}
	idle(t, e)
}

// A panic ends the running requests; the waiting ones and the engine go on.
func TestPanic(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	e := fakeEngine(t, f)
	ctx := context.Background()
	r := Request{IDs: []int32{4, 5}, MaxTokens: 5, Logprobs: -1, IgnoreEOS: true}
	var list []<-chan Event
	list = append(list, generate(t, e, ctx, r))
	f.gate <- struct{}{}
	for range 4 { // three places: two join the first, two wait
		list = append(list, generate(t, e, ctx, r))
	}
	for n := 0; n < 2; { // until the two have joined
		f.gate <- struct{}{}
		n = e.Stats().Running - 1
	}
	f.panic.Store(true)
	close(f.gate)
	failed := 0
	for _, events := range list {
		prompt, answer, done := collect(t, events)
		var p *PanicError
		if errors.As(done.Err, &p) {
			failed++
			if p.Value != "fake bug" || !strings.Contains(string(p.Stack), "Forward") {
				t.Errorf("the panic came as %v with stack %s", p.Value, p.Stack)
			}
			continue
		}
		check(t, r, prompt, answer, done)
	}
	if failed == 0 || failed == len(list) {
		t.Errorf("%d of %d requests failed, want those that ran and no others", failed, len(list))
	}
	idle(t, e)
}

// A request that has pages, but had no step yet when another's panics, waits anew without
// them: they are nobody's now.
func TestPanicBeforeTheFirstStep(t *testing.T) {
	f := newFake()
	f.gate = make(chan struct{})
	e := fakeEngine(t, f)
	ctx, cancel := context.WithCancel(context.Background())
	passes := 0
	f.seen = func([]model.Run) {
		if passes++; passes == 2 {
			f.panic.Store(true)
			cancel()
		}
	}
	first := generate(t, e, context.Background(), Request{IDs: []int32{1}, MaxTokens: 1, Logprobs: -1})
	prompt := func(id int32, n int) Request {
		return Request{IDs: slices.Repeat([]int32{id}, n), MaxTokens: 5, Logprobs: -1, IgnoreEOS: true}
	}
	a := generate(t, e, context.Background(), prompt(4, 100))
	b := generate(t, e, context.Background(), prompt(5, 101))
	c := generate(t, e, ctx, prompt(6, 102)) // a and b have the 32 tokens of the step
	close(f.gate)
	collect(t, first)
	for _, events := range []<-chan Event{a, b} {
		var p *PanicError
		if _, _, done := collect(t, events); !errors.As(done.Err, &p) {
			t.Errorf("ended with %+v, want the panic", done)
		}
	}
	if _, _, done := collect(t, c); !errors.Is(done.Err, context.Canceled) {
		t.Errorf("ended with %+v, want the context's error", done)
	}
	idle(t, e)
}

// A panic before any request runs, which would come again with each step, ends them all.
func TestPanicWithoutARun(t *testing.T) {
	e := fakeEngine(t, newFake())
	broken := &request{Request: Request{MaxTokens: 1, Logprobs: -1}, ctx: context.Background()} // no prompt, and nobody checked
	if err := e.enqueue(broken); err != nil {
		t.Fatal(err)
	}
	var p *PanicError
	if _, _, done := collect(t, broken.out.events); !errors.As(done.Err, &p) {
		t.Errorf("ended with %+v, want the panic", done)
	}
	r := Request{IDs: []int32{4, 5}, MaxTokens: 5, Logprobs: -1}
	prompt, answer, done := collect(t, generate(t, e, context.Background(), r))
	check(t, r, prompt, answer, done)
	idle(t, e)
}

func TestNoTokenEndsOneRequest(t *testing.T) {
	for _, draw := range []bool{false, true} {
		f := newFake()
		f.draw = draw
		e := fakeEngine(t, f)
		ctx := context.Background()
		good := Request{IDs: []int32{1}, MaxTokens: 20, Logprobs: -1, IgnoreEOS: true}
		bad := Request{IDs: []int32{mute}, MaxTokens: 1, Logprobs: -1}
		a, b := generate(t, e, ctx, good), generate(t, e, ctx, bad)
		if _, _, done := collect(t, b); !errors.Is(done.Err, sample.ErrNoToken) {
			t.Errorf("draw %v: ended with %+v, want ErrNoToken", draw, done)
		}
		prompt, answer, done := collect(t, a)
		check(t, good, prompt, answer, done)
		idle(t, e)
	}
}

func TestCloseAndDrain(t *testing.T) {
	ctx := context.Background()
	r := Request{IDs: []int32{1}, MaxTokens: 200, Logprobs: -1, IgnoreEOS: true}
	t.Run("close ends requests", func(t *testing.T) {
		f := newFake()
		f.gate = make(chan struct{})
		e := fakeEngine(t, f)
		var list []<-chan Event
		for range 4 {
			list = append(list, generate(t, e, ctx, r))
		}
		f.gate <- struct{}{}
		go func() { close(f.gate) }()
		e.Close()
		for _, events := range list {
			if _, answer, done := collect(t, events); !errors.Is(done.Err, ErrClosed) || len(answer) == 200 {
				t.Errorf("ended with %+v after %d tokens, want ErrClosed before the end", done, len(answer))
			}
		}
		if _, err := e.Generate(ctx, r); !errors.Is(err, ErrClosed) {
			t.Errorf("Generate after Close: %v, want ErrClosed", err)
		}
		e.Close()
	})
	t.Run("drain finishes requests", func(t *testing.T) {
		e := fakeEngine(t, newFake())
		var list []<-chan Event
		for range 4 {
			list = append(list, generate(t, e, ctx, r))
		}
		e.Drain(ctx)
		for _, events := range list {
			prompt, answer, done := collect(t, events)
			check(t, r, prompt, answer, done)
		}
		if _, err := e.Generate(ctx, r); !errors.Is(err, ErrClosed) {
			t.Errorf("Generate after Drain: %v, want ErrClosed", err)
		}
	})
	t.Run("drain gives up", func(t *testing.T) {
		f := newFake()
		f.gate = make(chan struct{})
		e := fakeEngine(t, f)
		events := generate(t, e, ctx, r)
		f.gate <- struct{}{}
		late, cancel := context.WithCancel(ctx)
		cancel()
		go func() { close(f.gate) }()
		e.Drain(late)
		collect(t, events)
	})
}

// A prompt that begins as one before it did says how much of it was there already,
// unless its salt is another one, or the logprobs of all of it are wanted.
func TestPrefixesAreShared(t *testing.T) {
	e := fakeEngine(t, newFake())
	ctx := context.Background()
	ids := make([]int32, 150)
	for i := range ids {
		ids[i] = int32(i % 40)
	}
	for _, c := range []struct {
		name   string
		r      Request
		cached int
	}{
		{"the first", Request{IDs: ids}, 0},
		{"the same", Request{IDs: ids}, 149},
		{"its beginning", Request{IDs: append(slices.Clone(ids[:100]), 1, 2, 3)}, 100},
		{"another salt", Request{IDs: ids, CacheSalt: "x"}, 0},
		{"logprobs of the prompt", Request{IDs: ids, LogprobsFrom: 1}, 0},
		{"logprobs of its end", Request{IDs: ids, LogprobsFrom: 121}, 120},
		{"another beginning", Request{IDs: append([]int32{9}, ids...)}, 0},
	} {
		c.r.MaxTokens = 3
		before := e.Stats().CachedTokens
		prompt, answer, done := collect(t, generate(t, e, ctx, c.r))
		check(t, c.r, prompt, answer, done)
		idle(t, e)
		if counted := e.Stats().CachedTokens - before; done.Cached != c.cached || counted != int64(c.cached) {
			t.Errorf("%s: %d tokens of the prompt were in the cache, %d counted; want %d", c.name, done.Cached, counted, c.cached)
		}
	}
}

// The last token of a prompt that nothing follows takes no place in the context.
func TestLogprobOfTheTokenBehindTheContext(t *testing.T) {
	e := fakeEngine(t, newFake())
	r := Request{IDs: make([]int32, 301), LogprobsFrom: 300}
	prompt, answer, done := collect(t, generate(t, e, context.Background(), r))
	check(t, r, prompt, answer, done)
}

// Choices of one prompt that come together compute it once.
func TestChoicesShareTheirPrompt(t *testing.T) {
	f := newFake()
	computed := 0
	f.seen = func(runs []model.Run) {
		for _, r := range runs {
			computed += len(r.Tokens)
		}
	}
	f.gate = make(chan struct{})
	e := fakeEngine(t, f)
	r := Request{IDs: make([]int32, 100), MaxTokens: 10, Logprobs: -1, IgnoreEOS: true}
	var list []<-chan Event
	for range 3 {
		list = append(list, generate(t, e, context.Background(), r))
	}
	close(f.gate)
	for _, events := range list {
		prompt, answer, done := collect(t, events)
		check(t, r, prompt, answer, done)
	}
	e.Close()
	if want := 100 + 2*4 + 3*9; computed != want { // steps are of 32: the others begin beside its last 4
		t.Errorf("%d tokens were computed, want %d", computed, want)
	}
}

// Nobody reads, and nobody waits: the channel holds everything.
func TestReadersAreNotWaitedFor(t *testing.T) {
	e := fakeEngine(t, newFake())
	r := Request{IDs: make([]int32, 100), MaxTokens: 200, Logprobs: 0, LogprobsFrom: 1, IgnoreEOS: true}
	events := generate(t, e, context.Background(), r)
	other := Request{IDs: []int32{2}, MaxTokens: 290, Logprobs: -1, IgnoreEOS: true}
	prompt, answer, done := collect(t, generate(t, e, context.Background(), other))
	check(t, other, prompt, answer, done)
	idle(t, e)
	prompt, answer, done = collect(t, events)
	check(t, r, prompt, answer, done)
}
