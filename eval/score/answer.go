package score

import (
	"context"
	"fmt"
	"net/http"
)

// body is what a completion is asked for by.
type body struct {
	Model       string  `json:"model,omitempty"`
	Prompt      any     `json:"prompt"`
	MaxTokens   int     `json:"max_tokens"`
	Temperature float64 `json:"temperature"`
	Logprobs    int     `json:"logprobs"`
	Echo        bool    `json:"echo"`
}

// choice is a prompt's tokens in an answer, and what may follow them. Logprobs are read as the
// float32 they are, whose decimals a server may cut to the fewest that tell it.
type choice struct {
	Index    int `json:"index"`
	Logprobs *struct {
		Tokens        []string              `json:"tokens"`
		TokenLogprobs []*float32            `json:"token_logprobs"`
		TopLogprobs   []map[string]*float32 `json:"top_logprobs"`
	} `json:"logprobs"`
}

// answerError means that a server answered something else than was asked.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &answerError{fmt.Sprintf(format, args...)} }

// complete has the prompts' tokens scored, and returns a choice for each.
func (s *Server) complete(ctx context.Context, f form, prompts [][]int32) ([]choice, error) {
	b := body{Model: s.o.Model, Prompt: prompts, MaxTokens: f.more, Logprobs: 1, Echo: true}
	if f.prompts == 1 {
		b.Prompt = prompts[0]
	}
	most := int64(1 << 20)
	for _, p := range prompts {
		most += int64(len(p)) << 12
	}
	var answer struct {
		Choices []choice `json:"choices"`
	}
	err := s.patiently(ctx, true, func() error {
		answer.Choices = nil
		return s.call(ctx, http.MethodPost, "/completions", b, most, &answer)
	})
	if err != nil {
		return nil, err
	}
	sorted := make([]choice, len(prompts))
	for _, c := range answer.Choices {
		if c.Index < 0 || c.Index >= len(prompts) || sorted[c.Index].Logprobs != nil {
			return nil, wrong("a choice has index %d, of %d prompts", c.Index, len(prompts))
		}
		if c.Logprobs == nil {
			return nil, wrong("choice %d has no logprobs", c.Index)
		}
		sorted[c.Index] = c
	}
	if len(answer.Choices) != len(prompts) {
		return nil, wrong("%d choices of %d prompts", len(answer.Choices), len(prompts))
	}
	return sorted, nil
}

// lowest is what servers write for minus infinity.
const lowest = -9999

// score sums up what c says of r's tokens, which up to more others may follow.
func (c *choice) score(r Request, more int) (s Score, err error) {
	n, l := len(r.Context)+len(r.Continuation), c.Logprobs
	switch got := len(l.TokenLogprobs); {
	case got < n:
		return s, wrong("%d log-probabilities (logprobs.token_logprobs) of a prompt of %d tokens", got, n)
	case got > n+more:
		return s, wrong("%d log-probabilities (logprobs.token_logprobs) of a prompt of %d tokens and %d more: does the server begin prompts with a token of its own?", got, n, more)
	case len(l.Tokens) != got || len(l.TopLogprobs) != got:
		return s, wrong("%d token_logprobs, %d tokens and %d top_logprobs: want as many", got, len(l.Tokens), len(l.TopLogprobs))
	}
	s.Greedy = true
	for i := len(r.Context); i < n; i++ {
		p, text := l.TokenLogprobs[i], l.Tokens[i]
		switch {
		case p == nil:
			return s, wrong("token %d (%q) has the log-probability null: only a text's first may", i, text)
		case !(*p <= 1e-3): // a rounded 0
			return s, wrong("token %d (%q) has the log-probability %v: want 0 or less", i, text, *p)
		case *p <= lowest:
			return s, wrong("token %d (%q) has the log-probability %v, which stands for minus infinity: logits that are no numbers", i, text, *p)
		case len(l.TopLogprobs[i]) == 0:
			return s, wrong("token %d (%q) has no top_logprobs, to tell whether it is the likeliest", i, text)
		}
		s.Logprob += float64(*p)
		for other, q := range l.TopLogprobs[i] {
			if q != nil && (*q > *p || *q == *p && other != text) {
				s.Greedy = false
			}
		}
	}
	return s, nil
}
