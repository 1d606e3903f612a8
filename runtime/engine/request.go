package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/sample"
	"github.com/llmqat/llmqat/runtime/sched"
)

// Errors that Generate returns, to be tested with errors.Is. A request that asks
// for something impossible gets a *sample.ParamError instead.
var (
	ErrQueueFull = errors.New("engine: the queue is full")
	ErrTooLong   = errors.New("engine: more tokens than the context holds")
	ErrClosed    = errors.New("engine: closed")
	ErrLost      = kernels.ErrLost
)

// MaxLogprobs is the largest Request.Logprobs.
const MaxLogprobs = 20

// Request is one sequence to be continued.
type Request struct {
	IDs          []int32 // prompt, BOS included if wanted; at least one; not changed, not to be changed
	MaxTokens    int     // 1 or more, or 0 with LogprobsFrom
	Sampling     sample.Params
	Logprobs     int     // -1: none; 0..20: the chosen token's and as many of the most likely
	LogprobsFrom int     // those of the prompt's tokens from this one on, too: 1 to len(IDs); 0: of none; takes Logprobs >= 0
	Ends         []int32 // tokens that end the answer as EOS does: a template's end of turn
	IgnoreEOS    bool    // go on to MaxTokens past EOS, BOS and Ends

	Priority  int    // requests of lower numbers go first, and stay longest where the cache is short
	Client    string // who asks: those of one priority that wait get even shares of the tokens
	CacheSalt string // prompts share K and V with those of the same salt only
}

// TokenLogprob is a token and its natural-log probability.
type TokenLogprob = sample.TokenLogprob

// Token is a token of prompt or answer. Logprobs are of the model's own
// distribution, before temperature, penalties and biases; -Inf where it gives 0.
type Token struct {
	ID      int32
	Logprob float32        // where Request.Logprobs >= 0
	Top     []TokenLogprob // Request.Logprobs of them, the most likely first
}

// EventKind says what an Event holds.
type EventKind uint8

const (
	KindPrompt EventKind = iota // Prompt: once, before the first token, where LogprobsFrom asked for it
	KindToken                   // Token: a generated one, the one that ends the answer apart
	KindDone                    // Reason or Err: the last event
)

// FinishReason says why a request ended without an error.
type FinishReason string

const (
	ReasonStop   FinishReason = "stop"   // the model ended with EOS, BOS or one of Ends, which Event.Token holds
	ReasonLength FinishReason = "length" // MaxTokens
)

// Event is a piece of a request's answer.
type Event struct {
	Kind   EventKind
	Prompt []Token // those from LogprobsFrom on
	Token  Token
	Reason FinishReason
	Err    error         // the context's, the device's, ErrClosed, a *PanicError
	Cached int           // but of KindPrompt: tokens of the prompt whose K and V were there already
	Waited time.Duration // but of KindPrompt: from Generate to the request's first step
}

// request is a Request on its way.
type request struct {
	Request
	ctx     context.Context
	seq     *sched.Sequence
	sampler *sample.Sampler
	out     outbox
	prompt  []Token // logprobs so far
	told    bool    // the prompt's logprobs were sent
	begun   bool    // no longer counted as queued
	arrived time.Time
	waited  time.Duration // until begun
}

// untold says that logprobs of the prompt are still to be sent.
func (q *request) untold() bool { return q.LogprobsFrom > 0 && !q.told }

// Generate queues a request. Its events come through a channel. Nobody waits for its
// reader; the last event is KindDone, then the channel is closed. When ctx ends, so does the
// request, within one step, and a reader that is behind may miss its last events. Who stops
// reading ends ctx. An error comes at once: a *sample.ParamError, ErrTooLong, ErrQueueFull,
// ErrClosed or ErrLost.
func (e *Engine) Generate(ctx context.Context, r Request) (<-chan Event, error) {
	if err := e.check(&r); err != nil {
		return nil, err
	}
	q := &request{Request: r, ctx: ctx}
	if err := e.enqueue(q); err != nil {
		return nil, err
	}
	return q.out.events, nil
}

func (e *Engine) check(r *Request) error {
	bad := func(name string, v any, want string) error {
		return &sample.ParamError{Param: name, Value: v, Want: want}
	}
	switch {
	case len(r.IDs) == 0:
		return bad("prompt", "empty", "at least one token")
	case r.MaxTokens < 0 || r.MaxTokens == 0 && r.LogprobsFrom == 0:
		return bad("max_tokens", r.MaxTokens, "1 or more, or 0 with the prompt's logprobs")
	case r.Logprobs < -1 || r.Logprobs > MaxLogprobs:
		return bad("logprobs", r.Logprobs, fmt.Sprintf("-1 (none) to %d", MaxLogprobs))
	case r.LogprobsFrom < 0 || r.LogprobsFrom > len(r.IDs):
		return bad("logprobs_from", r.LogprobsFrom, fmt.Sprintf("0 (none) to the prompt's %d tokens", len(r.IDs)))
	case r.LogprobsFrom > 0 && r.Logprobs < 0:
		return bad("logprobs", r.Logprobs, "0 or more for the prompt's logprobs")
	case r.computed() > e.info.MaxContext || r.MaxTokens > e.info.MaxContext-r.computed():
		return fmt.Errorf("%w: prompt %d + max_tokens %d > %d", ErrTooLong, len(r.IDs), r.MaxTokens, e.info.MaxContext)
	}
	for i, id := range r.IDs {
		if id < 0 || int(id) >= e.info.VocabSize {
			return bad("prompt", fmt.Sprintf("token %d at %d", id, i), fmt.Sprintf("ids 0 to %d", e.info.VocabSize-1))
		}
	}
	return r.Sampling.Check(e.info.VocabSize)
}

// enqueue hands q to the loop, unless too much waits already.
func (e *Engine) enqueue(q *request) error {
	tokens := q.cost()
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return ErrClosed
	case e.lost != nil:
		return e.lost
	case e.queued == e.o.MaxQueue:
		return fmt.Errorf("%w: %d requests wait", ErrQueueFull, e.queued)
	case e.queued > 0 && e.queuedTokens+tokens > e.o.MaxQueueTokens:
		return fmt.Errorf("%w: %d requests of %d tokens wait, the limit is %d tokens", ErrQueueFull, e.queued, e.queuedTokens, e.o.MaxQueueTokens)
	}
	q.prepare(e.info.VocabSize, e.eos)
	q.arrived = time.Now()
	e.queued++
	e.queuedTokens += tokens
	e.arrivals <- q // has room for MaxQueue
	return nil
}

// computed is how many of the prompt's tokens the model runs: not the last where nothing is to
// follow it.
func (r *Request) computed() int {
	if r.MaxTokens == 0 {
		return max(1, len(r.IDs)-1)
	}
	return len(r.IDs)
}

// cost is what q counts in the queue. A handful of requests without a limit would fill that
// of a model with a long context.
func (q *request) cost() int64 { return sched.Cost(len(q.IDs), q.MaxTokens) }

// prepare makes what the loop needs, so that the loop need not.
func (q *request) prepare(vocab int, eos []int32) {
	n := q.computed()
	q.seq = &sched.Sequence{Tokens: slices.Clone(q.IDs[:n]), Prompt: n, MaxTokens: q.MaxTokens, EOS: slices.Concat(eos, q.Ends),
		Priority: q.Priority, Client: q.Client, Salt: q.CacheSalt}
	if q.LogprobsFrom > 0 {
		q.seq.Logits = n - (q.LogprobsFrom - 1) // a token's logprob is in the logits of the one before
	}
	if q.IgnoreEOS {
		q.seq.EOS = nil
	}
	q.sampler = sample.New(q.Sampling, vocab, q.IDs)
	q.out = newOutbox(q.MaxTokens + 2)
}
