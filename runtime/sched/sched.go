// Package sched decides which tokens of which sequences run next: continuous
// batching with chunked prefill over a paged cache whose prefixes are shared.
//
// A Scheduler is a plain state machine: it starts no goroutine, reads no clock
// and touches no device. Call Next, run the step, then Advance with its tokens.
package sched

import (
	"fmt"
	"slices"

	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Options bound what runs at once.
type Options struct {
	Budget    int // tokens of a step at most
	Chunk     int // of them, tokens of prompts where others decode, which wait for the step
	Sequences int // running sequences at most
}

// Scheduler batches sequences. All have an order (line): by priority, then so that
// clients get even shares, then by arrival. Sequences begin in this order, one that does
// not fit yet holding up those behind it, so that none starves. A running sequence takes
// pages as it grows. Where none is free, the last in order gives up its pages and waits to
// be computed again: the first always goes on, so all come to an end.
type Scheduler struct {
	o       Options
	pages   *kvcache.Pages
	line    line
	waiting []*Sequence // in order, no pages
	running []*Sequence // in order
	step    Step

	preempted, shared int64
}

// New returns a Scheduler over pages. A budget below the number of sequences would
// starve the last.
func New(o Options, pages *kvcache.Pages) *Scheduler {
	if o.Sequences < 1 || o.Budget < o.Sequences || o.Chunk < 1 {
		panic(fmt.Sprintf("sched: a budget of %d tokens, %d of prompts, for %d sequences", o.Budget, o.Chunk, o.Sequences))
	}
	return &Scheduler{o: o, pages: pages, line: newLine()}
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
type Step struct {
	Copies []Copy // to be made before, in order
	Runs   []Run
}

// Copy makes page To what page From is: a sequence goes on behind tokens that it
// shares with others, which go on otherwise.
type Copy struct{ To, From int32 }

// Tokens returns the number of tokens of the step.
func (s Step) Tokens() (n int) {
	for _, r := range s.Runs {
		n += r.To - r.From
	}
	return n
}

// Add queues a sequence. It must fit in the empty cache. What it had in another scheduler,
// whose pages were others, counts for nothing.
func (s *Scheduler) Add(q *Sequence) {
	if need := q.maxPages(); need > s.pages.Total() {
		panic(fmt.Sprintf("sched: sequence %d needs %d pages of %d", q.ID, need, s.pages.Total()))
	}
	q.Pages, q.Shared, q.cached, q.published, q.part, q.begun = nil, 0, 0, 0, 0, false
	s.line.join(q)
	s.waiting = insert(s.waiting, q)
}

// Waiting and Running return the numbers of sequences that have no pages, and that have.
func (s *Scheduler) Waiting() int { return len(s.waiting) }
func (s *Scheduler) Running() int { return len(s.running) }

// Preempted returns how often a sequence gave up its pages, and Shared how many tokens
// of prompts were in the cache when their sequence began.
func (s *Scheduler) Preempted() int64 { return s.preempted }
func (s *Scheduler) Shared() int64    { return s.shared }

// Next returns the next step, empty when no sequence is left. It is valid until the
// next call; a caller that cannot run it removes its sequences.
func (s *Scheduler) Next() Step {
	s.step = Step{s.step.Copies[:0], s.step.Runs[:0]}
	s.decode()
	s.admit()
	s.prefill()
	return s.step
}

// decode gives each decoding sequence its token, and the page that it may need.
func (s *Scheduler) decode() {
	for i := 0; i < len(s.running); i++ {
		q := s.running[i]
		if !q.decoding() {
			continue
		}
		for q.Pages != nil && !s.grow(q) {
			s.preempt(s.running[len(s.running)-1]) // q itself, where none is behind it
		}
		if q.Pages != nil {
			s.next(q)
		}
	}
}

// next adds the token of q, which decodes, to the step.
func (s *Scheduler) next(q *Sequence) {
	s.step.Runs = append(s.step.Runs, Run{q, q.cached, q.cached + 1})
}

func (s *Scheduler) grow(q *Sequence) bool {
	var err error
	q.Pages, err = s.pages.Grow(q.Pages, q.cached+1)
	return err == nil
}

// preempt takes q's pages. It waits in its old place in the line; what others do not
// need of the pages meanwhile, it finds again.
func (s *Scheduler) preempt(q *Sequence) {
	s.preempted++
	s.drop(q)
	q.cached, q.published = 0, 0
	s.running = without(s.running, q)
	s.waiting = insert(s.waiting, q)
}

// drop gives q's pages back, published as far as they are computed.
func (s *Scheduler) drop(q *Sequence) {
	if q.Pages != nil {
		s.publish(q, q.cached)
		s.pages.Release(q.Pages)
		q.Pages = nil
	}
}

// prefill cuts what is left of the step among the running prompts. The first of them
// has half of it, so that it is never held up by those behind it; the shortest are
// served from the rest, so that a short prompt does not wait for long ones; what they
// leave is the first's again.
func (s *Scheduler) prefill() {
	left := s.o.Budget - len(s.step.Runs)
	if len(s.step.Runs) > 0 {
		left = min(left, s.o.Chunk)
	}
	var prompts []*Sequence
	for _, q := range s.running {
		if !q.decoding() {
			prompts = append(prompts, q)
		}
	}
	if len(prompts) == 0 {
		return
	}
	cut := func(q *Sequence, most int) {
		n := min(most, len(q.Tokens)-q.cached-q.part)
		q.part += n
		left -= n
	}
	first := prompts[0]
	cut(first, (left+1)/2)
	shortest := slices.Clone(prompts[1:])
	slices.SortStableFunc(shortest, func(a, b *Sequence) int { return (len(a.Tokens) - a.cached) - (len(b.Tokens) - b.cached) })
	for _, q := range shortest {
		cut(q, left)
	}
	cut(first, left)
	for _, q := range prompts {
		if q.part > 0 {
			s.step.Runs = append(s.step.Runs, Run{q, q.cached, q.cached + q.part})
			q.part = 0
		}
	}
}

// Advance records that step ran. tokens holds one token for each run that Samples,
// in order. It returns the sequences that are now done; their pages are free.
func (s *Scheduler) Advance(step Step, tokens []int32) (done []*Sequence) {
	for _, r := range step.Runs {
		samples, decoded := r.Samples(), r.decoding()
		r.cached = r.To
		if !decoded || r.To%kvcache.PageTokens == 0 {
			s.publish(r.Sequence, r.To)
		}
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
	if !q.begun && slices.Contains(s.waiting, q) {
		s.line.leave(q)
	}
	s.waiting = without(s.waiting, q)
	s.running = without(s.running, q)
	s.drop(q)
}

// insert puts q in its place in list, which is in order.
func insert(list []*Sequence, q *Sequence) []*Sequence {
	i, _ := slices.BinarySearchFunc(list, q, compare)
	return slices.Insert(list, i, q)
}

func without(list []*Sequence, q *Sequence) []*Sequence {
	return slices.DeleteFunc(list, func(x *Sequence) bool { return x == q })
}
