// Package sample draws the next token from a model's logits: greedy or by
// temperature, top-k, top-p and min-p, after penalties and biases.
//
// A draw depends on the logits, the request's parameters and seed, and the number
// of tokens drawn before, on nothing else: not on what other requests run beside
// it, nor on the machine. Weights are whole numbers, which add exactly in any order
// (cpu.WeightOne), so what is kept and what is drawn is exact, too: tokens go from
// the largest logit to the smallest, of equals by id; min-p cuts, then top-k, then
// top-p; the weights of what is left are counted by id up to a random number below
// their sum.
package sample

import (
	"fmt"
	"math"
)

// Params say how one request's tokens are drawn. The zero value is greedy.
type Params struct {
	Temperature float64 // 0: always the most likely token
	TopK        int     // only the k most likely; 0: all
	TopP        float64 // only the most likely that together weigh p; 0 or 1: all
	MinP        float64 // only those at least p times as likely as the most likely; 0: all

	RepetitionPenalty float64 // divides logits > 0, multiplies others, of tokens in prompt or answer; 0 or 1: none
	PresencePenalty   float64 // taken once from logits of tokens in the answer
	FrequencyPenalty  float64 // taken for each time a token is in the answer

	LogitBias map[int32]float32 // added to logits; -Inf forbids a token
	Seed      uint64
}

// ParamError names the parameter that is out of range.
type ParamError struct {
	Param string // as in OpenAI's API: "temperature", "top_k", ...
	Value any
	Want  string
}

func (e *ParamError) Error() string {
	return fmt.Sprintf("%s is %v, want %s", e.Param, e.Value, e.Want)
}

// Check returns a *ParamError for the first parameter that no sampler of a
// vocabulary of vocab tokens can obey.
func (p *Params) Check(vocab int) error {
	const penalty = 100
	for _, c := range []struct {
		name string
		v    float64
		ok   bool
		want string
	}{
		{"temperature", p.Temperature, p.Temperature >= 0 && p.Temperature <= 100, "0 to 100"},
		{"top_k", float64(p.TopK), p.TopK >= 0, "0 (all) or more"},
		{"top_p", p.TopP, p.TopP >= 0 && p.TopP <= 1, "0 to 1"},
		{"min_p", p.MinP, p.MinP >= 0 && p.MinP <= 1, "0 to 1"},
		{"repetition_penalty", p.RepetitionPenalty, p.RepetitionPenalty == 0 || p.RepetitionPenalty >= 0.01 && p.RepetitionPenalty <= penalty, "0 (none) or 0.01 to 100"},
		{"presence_penalty", p.PresencePenalty, math.Abs(p.PresencePenalty) <= penalty, "-100 to 100"},
		{"frequency_penalty", p.FrequencyPenalty, math.Abs(p.FrequencyPenalty) <= penalty, "-100 to 100"},
	} {
		if !c.ok {
			return &ParamError{c.name, c.v, c.want}
		}
	}
	for id, b := range p.LogitBias {
		switch {
		case id < 0 || int(id) >= vocab:
			return &ParamError{"logit_bias", fmt.Sprintf("for token %d", id), fmt.Sprintf("tokens 0 to %d", vocab-1)}
		case !(b <= math.MaxFloat32): // NaN, +Inf
			return &ParamError{"logit_bias", fmt.Sprintf("%v for token %d", b, id), "a finite number or -Inf"}
		}
	}
	return nil
}
