package serve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

func TestCompletion(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	a := s.complete(`{"model":"tiny","prompt":"hello","unknown":[1]}`)
	if len(a.Choices) != 1 {
		t.Fatalf("%d choices, want 1", len(a.Choices))
	}
	c := a.Choices[0]
	if c.Text != "hello world" || c.Index != 0 || c.FinishReason == nil || *c.FinishReason != "stop" || c.Logprobs != nil {
		t.Errorf("choice %+v", c)
	}
	if !strings.HasPrefix(a.ID, "cmpl-") || a.Object != "text_completion" || a.Model != "tiny" {
		t.Errorf("head %+v", a)
	}
	want := usageJSON{PromptTokens: 2, CompletionTokens: len(generated(t, s.tok, "hello world")) + 1} // EOS counts
	want.TotalTokens = want.PromptTokens + want.CompletionTokens
	if a.Usage == nil || *a.Usage != want {
		t.Errorf("usage %+v, want %+v", a.Usage, want)
	}
	r := s.fake.last(t)
	if wantIDs := append([]int32{1}, s.tok.Encode("hello")...); !reflect.DeepEqual(r.IDs, wantIDs) {
		t.Errorf("ids %v, want BOS before the prompt's: %v", r.IDs, wantIDs)
	}
	if r.MaxTokens != 16 || r.Logprobs != -1 || r.LogprobsFrom != 0 || r.IgnoreEOS || r.Priority != 0 || r.CacheSalt != "" {
		t.Errorf("defaults: %+v", r)
	}
	r.Sampling.Seed = 0
	if want := (sample.Params{Temperature: 1, TopP: 1, RepetitionPenalty: 1}); !reflect.DeepEqual(r.Sampling, want) {
		t.Errorf("default sampling %+v, want %+v", r.Sampling, want)
	}
}

func TestSamplingParameters(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	s.complete(`{"prompt":"x","temperature":0.5,"top_p":0.25,"top_k":7,"min_p":0.125,"presence_penalty":-2,"frequency_penalty":2,
		"repetition_penalty":1.5,"logit_bias":{"5":-100,"6":1.5},"seed":-1,"ignore_eos":true,"max_tokens":3,"user":"u","best_of":1,"suffix":null,
		"priority":-3,"cache_salt":"pepper"}`)
	r := s.fake.last(t)
	want := sample.Params{Temperature: 0.5, TopP: 0.25, TopK: 7, MinP: 0.125, PresencePenalty: -2, FrequencyPenalty: 2,
		RepetitionPenalty: 1.5, LogitBias: map[int32]float32{5: -100, 6: 1.5}, Seed: math.MaxUint64}
	if !reflect.DeepEqual(r.Sampling, want) || !r.IgnoreEOS || r.MaxTokens != 3 || r.Priority != -3 || r.CacheSalt != "pepper" {
		t.Errorf("got %+v, want sampling %+v", r, want)
	}
	s.complete(`{"prompt":"x","top_k":-1,"top_p":0}`)
	if p := s.fake.last(t).Sampling; p.TopK != 0 || p.TopP <= 0 || p.TopP > 1e-6 {
		t.Errorf("top_k -1 must mean all and top_p 0 the most likely: %+v", p)
	}
}

func TestSeeds(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	seeds := func() map[uint64]bool {
		m := map[uint64]bool{}
		for _, r := range s.fake.requests {
			m[r.Sampling.Seed] = true
		}
		s.fake.requests = nil
		return m
	}
	s.complete(`{"prompt":"x","n":3,"seed":41}`)
	if got := seeds(); !reflect.DeepEqual(got, map[uint64]bool{41: true, 42: true, 43: true}) {
		t.Errorf("seeds of n = 3 with seed 41: %v", got)
	}
	s.complete(`{"prompt":"x","n":3}`)
	if got := seeds(); len(got) != 3 {
		t.Errorf("seeds of n = 3 without one: %v, want them different", got)
	}
}

func TestPromptForms(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	hello := append([]int32{1}, s.tok.Encode("hello")...)
	for _, c := range []struct {
		prompt string
		want   [][]int32
		tokens int
	}{
		{`"hello"`, [][]int32{hello}, 2},
		{`""`, [][]int32{{1}}, 1},
		{`["hello",""]`, [][]int32{hello, {1}}, 3},
		{`[5, 6,7]`, [][]int32{{5, 6, 7}}, 3},
		{`[[5],[6,7]]`, [][]int32{{5}, {6, 7}}, 3},
		{`"</s>"`, [][]int32{append([]int32{1}, s.tok.Encode("</s>")...)}, 1 + len(s.tok.Encode("</s>"))},
	} {
		s.fake.requests = nil
		a := s.complete(`{"prompt":` + c.prompt + `}`)
		var got [][]int32
		for _, r := range s.fake.requests {
			got = append(got, r.IDs)
		}
		if !reflect.DeepEqual(got, c.want) || a.Usage.PromptTokens != c.tokens || len(a.Choices) != len(c.want) {
			t.Errorf("%s: ids %v, want %v; usage %+v", c.prompt, got, c.want, a.Usage)
		}
	}
}

func TestChoicesOfPromptsStandInOrder(t *testing.T) {
	f := &fake{}
	s := newSite(t, f, Options{})
	f.answer = func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		says(r.IDs[len(r.IDs)-1:])(ctx, r, send) // the prompt's last token again
	}
	a := s.complete(`{"prompt":["a","b"],"n":2,"echo":true}`)
	for i, want := range []string{"aa", "aa", "bb", "bb"} {
		if c := a.Choices[i]; c.Index != i || c.Text != want {
			t.Errorf("choice %d: %+v, want %q", i, c, want)
		}
	}
	if a.Usage.PromptTokens != 6 || a.Usage.CompletionTokens != 8 {
		t.Errorf("usage %+v: each prompt counts once, each choice's tokens count", a.Usage)
	}
}

// What the cache held of a prompt counts once: its second choice finds all that the first computed.
func TestCachedTokens(t *testing.T) {
	s := newSite(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
		e := done(engine.ReasonStop)
		if e.Cached = 100; r.Sampling.Seed == 7 {
			e.Cached = len(r.IDs)
		}
		send(e)
	}}, Options{})
	for prompt, want := range map[string]int{`[5,6]`: 2, `[[5,6,7],[8]]`: 4} {
		u := s.complete(`{"n":3,"seed":7,"prompt":` + prompt + `}`).Usage
		if got := u.PromptTokensDetails.CachedTokens; got != want || u.PromptTokens != want {
			t.Errorf("%s: %d cached tokens of %d, want %d", prompt, got, u.PromptTokens, want)
		}
	}
}

// A stop string ends a choice before the engine says so: its tokens have told.
func TestCachedTokensBeforeAStopString(t *testing.T) {
	f := &fake{}
	s := newSite(t, f, Options{})
	f.answer = func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		says(generated(t, s.tok, "hello world"))(ctx, r, func(e engine.Event) {
			e.Cached = 2
			send(e)
		})
	}
	for _, body := range []string{`{"prompt":"hello x","stop":"lo"}`, `{"prompt":"hello x"}`} {
		if u := s.complete(body).Usage; u.PromptTokensDetails.CachedTokens != 2 {
			t.Errorf("%s: usage %+v", body, u)
		}
	}
}

func TestMaxTokensIsALength(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	a := s.complete(`{"prompt":"x","max_tokens":1}`)
	if c := a.Choices[0]; c.Text != "hello" || *c.FinishReason != "length" || a.Usage.CompletionTokens != 1 {
		t.Errorf("%+v, usage %+v", c, a.Usage)
	}
}

func TestEcho(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	if c := s.complete(`{"prompt":"say ","echo":true,"max_tokens":1}`).Choices[0]; c.Text != "say hello" {
		t.Errorf("text %q", c.Text)
	}
	s.fake.requests = nil
	a := s.complete(`{"prompt":"say","echo":true,"max_tokens":0}`)
	if c := a.Choices[0]; c.Text != "say" || *c.FinishReason != "length" || len(s.fake.requests) != 0 {
		t.Errorf("max_tokens 0: %+v, %d requests to the model, want none", c, len(s.fake.requests))
	}
	if a.Usage.PromptTokens != 1+len(s.tok.Encode("say")) || a.Usage.CompletionTokens != 0 {
		t.Errorf("usage %+v", a.Usage)
	}
}

func TestAnswerToNothingBeginsAText(t *testing.T) {
	f := &fake{}
	s := newSite(t, f, Options{})
	f.answer = says(s.tok.Encode("hello world"))
	if got := s.complete(`{"prompt":""}`).Choices[0].Text; got != "hello world" {
		t.Errorf("after BOS alone: %q, want the dummy space dropped", got)
	}
	if got := s.complete(`{"prompt":"x"}`).Choices[0].Text; got != " hello world" {
		t.Errorf("after a prompt: %q, want the space kept", got)
	}
}

func TestLogprobs(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	l := s.complete(`{"prompt":"x","logprobs":2}`).Choices[0].Logprobs
	if l == nil {
		t.Fatal("no logprobs")
	}
	if want := []string{"hello", " world"}; !reflect.DeepEqual(l.Tokens, want) {
		t.Errorf("tokens %q, want %q", l.Tokens, want)
	}
	if !reflect.DeepEqual(l.TextOffset, []int{0, 5}) {
		t.Errorf("text_offset %v", l.TextOffset)
	}
	for i, lp := range l.TokenLogprobs {
		if lp == nil || *lp != -0.5 || l.TopLogprobs[i][l.Tokens[i]] != -0.5 || len(l.TopLogprobs[i]) != 2 {
			t.Errorf("token %d: %v, top %v", i, lp, l.TopLogprobs[i])
		}
	}
	l = s.complete(`{"prompt":"x","logprobs":0}`).Choices[0].Logprobs
	if want := []map[string]float64{{"hello": -0.5}, {" world": -0.5}}; !reflect.DeepEqual(l.TopLogprobs, want) {
		t.Errorf("logprobs 0: top %v, want the chosen alone", l.TopLogprobs)
	}
}

func TestLogprobsOfThePrompt(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for _, maxTokens := range []int{0, 2} {
		a := s.complete(fmt.Sprintf(`{"prompt":"hello world","logprobs":1,"echo":true,"max_tokens":%d}`, maxTokens))
		c := a.Choices[0]
		want := []string{"hello", " world", "hello", " world"}[:2+maxTokens]
		if c.Text != strings.Join(want, "") || !reflect.DeepEqual(c.Logprobs.Tokens, want) {
			t.Errorf("text %q of tokens %q, want %q: BOS is not shown", c.Text, c.Logprobs.Tokens, want)
		}
		if want := []int{0, 5, 11, 16}[:2+maxTokens]; !reflect.DeepEqual(c.Logprobs.TextOffset, want) {
			t.Errorf("text_offset %v, want %v", c.Logprobs.TextOffset, want)
		}
		if lp := c.Logprobs.TokenLogprobs; lp[0] != nil || c.Logprobs.TopLogprobs[0] != nil || lp[1] == nil || *lp[1] != -0.25 {
			t.Errorf("token_logprobs %v: want null, then that of the second shown token", lp)
		}
		if *c.FinishReason != "length" || a.Usage.CompletionTokens != maxTokens {
			t.Errorf("finish %q, usage %+v", *c.FinishReason, a.Usage)
		}
	}
	// ids are shown as they are, a control token in its spelling and without text
	c := s.complete(fmt.Sprintf(`{"prompt":[1,%d],"logprobs":0,"echo":true,"max_tokens":0}`, s.tok.Encode("hello")[0])).Choices[0]
	if c.Text != "hello" || !reflect.DeepEqual(c.Logprobs.Tokens, []string{"<s>", "hello"}) || !reflect.DeepEqual(c.Logprobs.TextOffset, []int{0, 0}) {
		t.Errorf("text %q, tokens %q, offsets %v", c.Text, c.Logprobs.Tokens, c.Logprobs.TextOffset)
	}
}

// The request of lm-evaluation-harness's local-completions, which takes each choice's list from
// the context's length on, without its last element: one token beside the prompt's, whatever it is.
func TestLMEvaluationHarness(t *testing.T) {
	f := &fake{}
	s := newSite(t, f, Options{})
	eos := s.tok.EOS()
	for _, next := range []int32{s.tok.Encode("hello")[0], eos} {
		f.answer = func(ctx context.Context, r engine.Request, send func(engine.Event)) {
			if next != eos {
				says([]int32{next})(ctx, r, send)
				return
			}
			r.MaxTokens = 0
			says([]int32{0})(ctx, r, func(e engine.Event) {
				if e.Kind == engine.KindDone {
					e.Reason, e.Token = engine.ReasonStop, engine.Token{ID: eos, Logprob: -0.5, Top: top(r, eos, -0.5)}
				}
				send(e)
			})
		}
		a := s.complete(`{"model":"tiny","prompt":[[1,280,281],[1,282,283,284]],"temperature":0,"max_tokens":1,"logprobs":1,"seed":1234,"echo":true}`)
		for i, c := range a.Choices {
			l, n := c.Logprobs, 3+i
			if c.Index != i || len(l.Tokens) != n+1 || len(l.TokenLogprobs) != n+1 || len(l.TopLogprobs) != n+1 || len(l.TextOffset) != n+1 {
				t.Fatalf("choice %d: %d tokens, %d logprobs, %d top; want the prompt's %d and one", c.Index, len(l.Tokens), len(l.TokenLogprobs), len(l.TopLogprobs), n)
			}
			for at := 1; at < n; at++ {
				if want := -float64(at) / 8; *l.TokenLogprobs[at] != want || l.TopLogprobs[at][l.Tokens[at]] != want {
					t.Errorf("choice %d, token %d: logprob %v, top %v, want %v", i, at, *l.TokenLogprobs[at], l.TopLogprobs[at], want)
				}
			}
			if *l.TokenLogprobs[n] != -0.5 || next == eos && l.Tokens[n] != "</s>" {
				t.Errorf("the token behind the prompt is %q, %v", l.Tokens[n], *l.TokenLogprobs[n])
			}
		}
	}
}

func TestLogprobsOfBytesAndMinusInfinity(t *testing.T) {
	f := &fake{}
	s := newSite(t, f, Options{})
	f.answer = func(_ context.Context, r engine.Request, send func(engine.Event)) {
		for _, id := range generated(t, s.tok, "é") {
			send(token(r, id, float32(math.Inf(-1))))
		}
		send(token(r, generated(t, s.tok, "a")[0], float32(math.NaN())))
		send(done(engine.ReasonStop))
	}
	c := s.complete(`{"prompt":"x","logprobs":1}`).Choices[0]
	if want := []string{`bytes:\xc3`, `bytes:\xa9`, "a"}; c.Text != "éa" || !reflect.DeepEqual(c.Logprobs.Tokens, want) {
		t.Errorf("text %q, tokens %q, want %q", c.Text, c.Logprobs.Tokens, want)
	}
	if !reflect.DeepEqual(c.Logprobs.TextOffset, []int{0, 0, 1}) { // in characters
		t.Errorf("text_offset %v", c.Logprobs.TextOffset)
	}
	for _, lp := range c.Logprobs.TokenLogprobs {
		if *lp != lowest {
			t.Errorf("logprob %v, want %v", *lp, lowest)
		}
	}
}

func TestStopStrings(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for _, c := range []struct {
		stop, text, finish string
		tokens             []string
	}{
		{`"world"`, "hello ", "stop", []string{"hello", " world"}},
		{`"o w"`, "hell", "stop", []string{"hello"}}, // spans two tokens
		{`["zzz","lo"]`, "hel", "stop", []string{"hello"}},
		{`"hello"`, "", "stop", []string{}},
		{`"worlds"`, "hello world", "stop", []string{"hello", " world"}}, // held back, then shown
		{`[]`, "hello world", "stop", []string{"hello", " world"}},
		{`null`, "hello world", "stop", []string{"hello", " world"}},
	} {
		body := `{"prompt":"hello world","logprobs":0,"stop":` + c.stop + `}`
		got := s.complete(body).Choices[0]
		if got.Text != c.text || *got.FinishReason != c.finish || !reflect.DeepEqual(got.Logprobs.Tokens, c.tokens) {
			t.Errorf("stop %s: %q (%s) of %q, want %q (%s) of %q", c.stop, got.Text, *got.FinishReason, got.Logprobs.Tokens, c.text, c.finish, c.tokens)
		}
		// the same in pieces
		e := s.stream(strings.Replace(body, "{", `{"stream":true,`, 1))
		if text := joinTexts(t, e.rest()); text != c.text {
			t.Errorf("stop %s, streamed: %q, want %q", c.stop, text, c.text)
		}
	}
}

func TestStopStringSpansUTF8Pieces(t *testing.T) {
	f := &fake{}
	s := newSite(t, f, Options{})
	f.answer = says(generated(t, s.tok, "a€b"))
	if got := s.complete(`{"prompt":"x","stop":"€"}`).Choices[0]; got.Text != "a" || *got.FinishReason != "stop" {
		t.Errorf("%+v", got)
	}
	// an incomplete character at the end becomes U+FFFD, byte by byte, and can make a stop string
	ids := generated(t, s.tok, "a€")
	f.answer = says(ids[:len(ids)-1])
	if got := s.complete(`{"prompt":"x"}`).Choices[0]; got.Text != "a\ufffd\ufffd" {
		t.Errorf("%q", got.Text)
	}
	if got := s.complete(`{"prompt":"x","stop":"\ufffd\ufffd"}`).Choices[0]; got.Text != "a" {
		t.Errorf("%q", got.Text)
	}
}

// A stop string ends its own sequence at once, and no other.
func TestAStopStringEndsTheSequence(t *testing.T) {
	ended := make(chan struct{})
	f := &fake{}
	s := newSite(t, f, Options{})
	stopping := s.tok.Encode("a")
	f.answer = func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		send(token(r, 3+'b', 0))
		if !slices.Equal(r.IDs[1:], stopping) {
			<-ended
			time.Sleep(20 * time.Millisecond) // for what comes behind the stop string to show, if it could
			send(token(r, 3+'c', 0))
			send(done(engine.ReasonLength))
			return
		}
		send(token(r, 3+'d', 0))
		send(token(r, 3+'e', 0)) // made before the engine knew
		<-ctx.Done()             // only the stop string can end it
		send(engine.Event{Kind: engine.KindDone, Err: ctx.Err()})
		close(ended)
	}
	a := s.complete(`{"prompt":["a","b"],"stop":"d"}`)
	for i, want := range []struct{ text, finish string }{{"b", "stop"}, {"bc", "length"}} {
		if c := a.Choices[i]; c.Text != want.text || *c.FinishReason != want.finish {
			t.Errorf("choice %d: %q (%s), want %q (%s)", i, c.Text, *c.FinishReason, want.text, want.finish)
		}
	}
	if a.Usage.CompletionTokens != 4 {
		t.Errorf("usage %+v: the stop string's token counts", a.Usage)
	}
}

func TestGeneratorErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		param  string
	}{
		{fmt.Errorf("%w: 256 wait", engine.ErrQueueFull), 429, ""},
		{engine.ErrClosed, 503, ""},
		{fmt.Errorf("%w: 9 > 8", engine.ErrTooLong), 400, "prompt"},
		{&sample.ParamError{Param: "top_k", Value: -1, Want: "0 or more"}, 400, "top_k"},
		{errors.New("secret: device lost"), 500, ""},
	} {
		s := newSite(t, &fake{refuse: c.err}, Options{})
		resp, data := s.do("POST", "/v1/completions", `{"prompt":"x","n":2}`)
		if param, message := wantError(t, resp, data, c.status); param != c.param || strings.Contains(message, "secret") {
			t.Errorf("%v: param %q, message %q", c.err, param, message)
		}
		if retry := resp.Header.Get("Retry-After"); (retry != "") != (c.status == 429 || c.status == 503) {
			t.Errorf("%v: Retry-After %q", c.err, retry)
		}
		// the same while it runs
		late := newSite(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
			send(engine.Event{Kind: engine.KindDone, Err: c.err})
		}}, Options{})
		resp, data = late.do("POST", "/v1/completions", `{"prompt":"x"}`)
		wantError(t, resp, data, c.status)
	}
}

// A full queue on the second choice must take back the first.
func TestAllChoicesOrNone(t *testing.T) {
	f := &fake{answer: func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		<-ctx.Done()
		send(engine.Event{Kind: engine.KindDone, Err: ctx.Err()})
	}}
	s := newSite(t, f, Options{})
	g := &refuseFrom{fake: f, n: 2}
	m := *s.server.model.Load()
	m.Generator = g
	s.server.SetModel(m)
	resp, data := s.do("POST", "/v1/completions", `{"prompt":"x","n":3}`)
	if _, message := wantError(t, resp, data, 429); !strings.Contains(message, "3 choices") {
		t.Errorf("the message does not say what to change: %q", message)
	}
	f.running.Wait()
	if _, data := s.do("GET", "/metrics", ""); !strings.Contains(string(data), "llmqat_prompt_tokens_total 0\n") {
		t.Error("the refused prompt was counted")
	}
}

func TestUnknownPath(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	resp, data := s.do("POST", "/v1/embeddings", "{}")
	if _, message := wantError(t, resp, data, 404); !strings.Contains(message, `"/v1/embeddings"`) || !strings.Contains(message, " /v1/completions,") {
		t.Errorf("the message does not say what there is: %q", message)
	}
}

type refuseFrom struct {
	*fake
	n int
}

func (g *refuseFrom) Generate(ctx context.Context, r engine.Request) (<-chan engine.Event, error) {
	if g.n--; g.n < 0 {
		return nil, engine.ErrQueueFull
	}
	return g.fake.Generate(ctx, r)
}

func TestContextIsNamed(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for _, c := range []struct{ body, param string }{
		{`{"prompt":"x","max_tokens":127}`, "max_tokens"},
		{`{"prompt":"x","max_tokens":2147483647}`, "max_tokens"},
		{`{"prompt":"` + strings.Repeat("z", testContext) + `","max_tokens":1}`, "prompt"},
		{`{"prompt":"` + strings.Repeat("z", 1<<20) + `","max_tokens":1}`, "prompt"},
		{`{"prompt":[` + strings.Repeat("5,", 1<<20) + `5]}`, "prompt"},
		{`{"prompt":["x","` + strings.Repeat("z", testContext) + `"]}`, "prompt"},
	} {
		resp, data := s.do("POST", "/v1/completions", c.body)
		param, message := wantError(t, resp, data, 400)
		if param != c.param || !strings.Contains(message, fmt.Sprint(testContext)) || !strings.Contains(string(data), contextExceeded) {
			t.Errorf("%.60s: param %q, want %q; %s", c.body, param, c.param, data)
		}
	}
	s.complete(`{"prompt":[5],"max_tokens":127}`)
}
