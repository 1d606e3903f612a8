// Package score finds how likely a model holds given continuations of given texts: what
// multiple-choice tasks are scored by. A Scorer asks our own engine or another's server.
package score

import "context"

// Request asks for ln p of Continuation (1 token at least) after Context (1 token at least: a
// BOS or EOS where the text is empty), token ids.
type Request struct {
	Context, Continuation []int32

	// With is the context beside which it is asked, so that what belongs together is known together; nil: its own.
	With []int32
}

// Score is what became of it: Logprob is the sum over the continuation's tokens; Greedy says
// that each of them was the likeliest.
type Score struct {
	Logprob float64
	Greedy  bool
}

// Scorer scores requests by a model.
type Scorer interface {
	// Score scores all requests, in any order, and calls done (from one goroutine) with the
	// index of each as it ends; the first error, done's too, ends it. Calls do not overlap.
	Score(ctx context.Context, requests []Request, done func(i int, s Score) error) error

	// MaxTokens is what Context and Continuation may have together. Who asks cuts longer
	// ones from the left, as lm-evaluation-harness does.
	MaxTokens() int

	Close() error
}
