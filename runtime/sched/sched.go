// Package sched decides which tokens of which sequences run next: continuous
// batching with chunked prefill over a paged cache.
//
// A Scheduler is a plain state machine: it starts no goroutine, reads no clock
// and touches no device. Call Next, run the step, then Advance with its tokens.
package sched

import (
	"fmt"
	"slices"

	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Scheduler batches sequences within a budget of tokens a step. Sequences begin in
// the order in which they were added, one that does not fit yet holding up those
// behind it, so that none starves.
type Scheduler struct {
	budget  int // tokens of a step at most
	most    int // running sequences at most
	pages   *kvcache.Pages
	waiting []*Sequence // in order of arrival, no pages
	running []*Sequence // in order of arrival, pages for all they may become
	step    Step
}

// New returns a Scheduler that runs up to sequences sequences at once, in steps of
// up to budget tokens. A budget below sequences would starve the youngest.
func New(budget, sequences int, pages *kvcache.Pages) *Scheduler {
	if sequences < 1 || budget < sequences {
		panic(fmt.Sprintf("sched: a budget of %d tokens for %d sequences", budget, sequences))
	}
	return &Scheduler{budget: budget, most: sequences, pages: pages}
}

// Run is a sequence's part of a step: its tokens [From, To).
type Run struct {
	*Sequence
	From, To int
}

// Samples reports whether the step yields a new token for r: its tokens reach the
// end of what is known, and more may follow.
func (r Run) Samples() bool { return r.To == len(r.Tokens) && r.Generated() < r.MaxTokens }

// Step is one forward pass: decode runs first, then chunks of prompts.
type Step []Run

// Tokens returns the number of tokens of the step.
func (s Step) Tokens() (n int) {
	for _, r := range s {
		n += r.To - r.From
	}
	return n
}

// Add queues a sequence. It must fit in the empty cache.
func (s *Scheduler) Add(q *Sequence) {
	if need := q.maxPages(); need > s.pages.Total() {
		panic(fmt.Sprintf("sched: sequence %d needs %d pages of %d", q.ID, need, s.pages.Total()))
	}
	s.waiting = append(s.waiting, q)
}

// Waiting and Running return the numbers of sequences that have not begun, and that have.
func (s *Scheduler) Waiting() int { return len(s.waiting) }
func (s *Scheduler) Running() int { return len(s.running) }

// Next returns the next step, empty when no sequence is left. It is valid until the
// next call; a caller that cannot run it removes its sequences.
func (s *Scheduler) Next() Step {
	s.admit()
	s.step = s.step[:0]
	left := s.budget
	for _, decoding := range []bool{true, false} {
		for _, q := range s.running {
			if q.decoding() != decoding || left == 0 {
				continue
			}
			n := min(left, len(q.Tokens)-q.cached)
			s.step = append(s.step, Run{q, q.cached, q.cached + n})
			left -= n
		}
	}
	return s.step
}

// admit starts waiting sequences while places and pages last. A sequence gets the
// pages for its longest possible end at once, so that it never waits in the middle.
func (s *Scheduler) admit() {
	for len(s.waiting) > 0 && len(s.running) < s.most {
		q := s.waiting[0]
		pages, err := s.pages.Grow(nil, q.maxCached())
		if err != nil {
			return
		}
		q.Pages = pages
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.running = append(s.running, q)
	}
}

// Advance records that step ran. tokens holds one token for each run that Samples,
// in order. It returns the sequences that are now done; their pages are free.
func (s *Scheduler) Advance(step Step, tokens []int32) (done []*Sequence) {
	for _, r := range step {
		samples := r.Samples()
		r.cached = r.To
		if samples {
			r.Tokens, tokens = append(r.Tokens, tokens[0]), tokens[1:]
		}
		if r.Done() {
			done = append(done, r.Sequence)
		}
	}
	for _, q := range done {
		s.Remove(q)
	}
	return done
}

// Remove forgets q, wherever it is, and frees its pages. Call it between steps.
func (s *Scheduler) Remove(q *Sequence) {
	is := func(x *Sequence) bool { return x == q }
	s.waiting = slices.DeleteFunc(s.waiting, is)
	s.running = slices.DeleteFunc(s.running, is)
	s.pages.Release(q.Pages)
	q.Pages = nil
}
