package serve

import (
	"fmt"
	"testing"
)

// Each parameter does to a real model's answer what it is for; left unread it would not.
func TestParametersReachTheModel(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	m := demo(t)
	s.server.SetModel(m)
	ask := func(more string) answer {
		t.Helper()
		return s.complete(`{"prompt":"Once upon a time","max_tokens":40,"logprobs":0,` + more + `}`)
	}
	text := func(more string) string { return ask(more).Choices[0].Text }
	distinct := func(more string) int {
		seen := map[string]bool{}
		for _, tok := range ask(more).Choices[0].Logprobs.Tokens {
			seen[tok] = true
		}
		return len(seen)
	}
	greedy := text(`"temperature":0`)
	hot := text(`"temperature":2,"seed":7`)
	if hot == greedy || hot != text(`"temperature":2,"seed":7`) || hot == text(`"temperature":2,"seed":8`) {
		t.Errorf("temperature and seed: %q", hot)
	}
	for _, narrow := range []string{`"top_k":1`, `"top_p":0`, `"min_p":1`} {
		if got := text(`"temperature":2,"seed":7,` + narrow); got != greedy {
			t.Errorf("%s leaves only the most likely token: got %q, want %q", narrow, got, greedy)
		}
	}
	// Penalties make words rarer, rewards more frequent.
	plain := distinct(`"temperature":0`)
	for _, penalty := range []string{`"presence_penalty":2`, `"frequency_penalty":2`, `"repetition_penalty":2`} {
		if n := distinct(`"temperature":0,` + penalty); n <= plain {
			t.Errorf("%s: %d different tokens, %d without it", penalty, n, plain)
		}
	}
	if n := distinct(`"temperature":0,"frequency_penalty":-2`); n >= plain {
		t.Errorf("a negative penalty: %d different tokens, %d without it", n, plain)
	}
	// A bias forbids and forces.
	first := m.Tokenizer.Encode("x" + greedy)[len(m.Tokenizer.Encode("x"))]
	if got := text(fmt.Sprintf(`"temperature":0,"logit_bias":{"%d":-100}`, first)); got[0] == greedy[0] {
		t.Errorf("a forbidden token: %q", got)
	}
	if n := distinct(fmt.Sprintf(`"temperature":0,"logit_bias":{"%d":100}`, first)); n != 1 {
		t.Errorf("a forced token: %d different ones", n)
	}
	eos := fmt.Sprintf(`"temperature":0,"logit_bias":{"%d":100}`, m.Tokenizer.EOS())
	if a := ask(eos); a.Choices[0].Text != "" || *a.Choices[0].FinishReason != "stop" || a.Usage.CompletionTokens != 1 {
		t.Errorf("EOS: %+v, %+v", a.Choices[0], a.Usage)
	}
	if a := ask(eos + `,"ignore_eos":true`); *a.Choices[0].FinishReason != "length" || a.Usage.CompletionTokens != 40 {
		t.Errorf("ignore_eos: %+v, %+v", a.Choices[0], a.Usage)
	}
}
