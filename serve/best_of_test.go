package serve

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/runtime/engine"
)

// ranked answers seed i of its list with that text, every token with that log probability, and EOS with the last.
type ranked []struct {
	text      string
	each, eos float32
}

func (list ranked) answer(_ context.Context, r engine.Request, send func(engine.Event)) {
	one := list[r.Sampling.Seed]
	for _, c := range one.text {
		send(token(r, 3+c, one.each))
	}
	if r.Logprobs < 0 {
		send(done(engine.ReasonStop))
		return
	}
	send(engine.Event{Kind: engine.KindDone, Reason: engine.ReasonStop, Token: engine.Token{ID: 2, Logprob: one.eos}})
}

func TestBestOf(t *testing.T) {
	f := &fake{answer: ranked{
		{"a", -1, -3},      // mean -2
		{"b", -1.5, -1.5},  // -1.5
		{"cc", -1.2, -1.2}, // -1.2, though the least in sum
		{"d", float32(math.NaN()), 0},
	}.answer}
	s := newSite(t, f, Options{})
	texts := func(body string) (list []string) {
		t.Helper()
		a := s.complete(body)
		for i, c := range a.Choices {
			if c.Index != i || *c.FinishReason != "stop" {
				t.Errorf("choice %d: %+v", i, c)
			}
			list = append(list, c.Text)
		}
		if a.Usage.CompletionTokens != 9*len(a.Choices)/2 {
			t.Errorf("usage %+v, want the tokens of all choices", a.Usage)
		}
		return list
	}
	if got := texts(`{"prompt":"x","n":2,"best_of":4,"seed":0}`); !slices.Equal(got, []string{"cc", "b"}) {
		t.Errorf("got %q, want the best two, best first", got)
	}
	if got := texts(`{"prompt":["x","y"],"n":2,"best_of":4,"seed":0,"echo":true}`); !slices.Equal(got, []string{"xcc", "xb", "ycc", "yb"}) {
		t.Errorf("got %q, want each prompt's best two", got)
	}
	// as many as n are as they come
	if a := s.complete(`{"prompt":"x","n":2,"best_of":2,"seed":0}`); a.Choices[0].Text != "a" || a.Choices[1].Text != "b" || s.fake.last(t).Logprobs != -1 {
		t.Errorf("best_of = n: %+v", a.Choices)
	}
	// the logprobs that were needed are not shown unless asked for
	for body, want := range map[string]bool{`{"prompt":"x","best_of":4,"seed":0}`: false, `{"prompt":"x","best_of":4,"seed":0,"logprobs":0}`: true} {
		if l := s.complete(body).Choices[0].Logprobs; (l != nil) != want || want && !slices.Equal(l.Tokens, []string{"c", "c"}) {
			t.Errorf("%s: logprobs %+v", body, l)
		}
	}
	resp, data := s.do("POST", "/v1/completions", `{"prompt":[`+strings.Repeat(`"",`, 8)+`""],"n":1,"best_of":16}`)
	if param, _ := wantError(t, resp, data, 400); param != "prompt" {
		t.Errorf("more than %d choices: %s", maxChoices, data)
	}
}
