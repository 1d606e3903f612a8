package engine

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
	"github.com/llmqat/llmqat/runtime/sample"
	"github.com/llmqat/llmqat/runtime/sched"
)

// PanicError is a bug met while a step ran. It ends the requests that were
// running; the engine goes on.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("engine: internal error: %v", e.Value) }

// loop is what the engine's goroutine owns.
type loop struct {
	e     *Engine
	fw    forwarder
	sched *sched.Scheduler
	pages *kvcache.Pages
	live  []*request // all that have arrived and not ended, in order of arrival
	ids   int64      // sequences so far
	stats Stats

	work    *sample.Work
	drawers *drawers

	// Of the step in flight.
	runs  []model.Run
	rows  []int32
	wants []want
	draws []kernels.Draw // of wants, for a device that draws
	drawn []int32
}

// want is a row of logits that a step asks for.
type want struct {
	q      *request
	next   int32 // for a row of the prompt: the token that follows it; else -1: draw it
	result Token
	err    error // sample.ErrNoToken
}

func newLoop(e *Engine, fw forwarder) (*loop, error) {
	vocab := e.info.VocabSize
	work, err := sample.NewWork(vocab)
	if err != nil {
		return nil, err
	}
	drawers, err := newDrawers(e.o.Threads, vocab, e.o.MaxSeqs)
	if err != nil {
		return nil, err
	}
	l := &loop{e: e, fw: fw, work: work, drawers: drawers}
	l.reset()
	return l, nil
}

// reset makes the cache empty.
func (l *loop) reset() {
	if l.sched != nil {
		l.stats = l.counted()
	}
	l.pages = kvcache.NewPages(l.e.info.KVPages)
	l.sched = sched.New(sched.Options{Budget: l.e.o.Budget, Chunk: l.e.o.Chunk, Sequences: l.e.o.MaxSeqs}, l.pages)
}

// counted returns the stats with what the scheduler counted since the last reset.
func (l *loop) counted() Stats {
	s := l.stats
	s.Preempted += l.sched.Preempted()
	s.CachedTokens += l.sched.Shared()
	return s
}

// run runs steps until the engine is closed.
func (l *loop) run() {
	for l.collect() {
		l.cancelled()
		l.guarded(l.step)
		l.publish()
	}
	for _, q := range slices.Clone(l.live) {
		l.end(q, Event{Err: ErrClosed})
	}
	l.publish()
}

// collect takes what has arrived, and waits for something where nothing is live.
// It returns false when the engine is closed.
func (l *loop) collect() bool {
	for {
		select {
		case <-l.e.stop:
			for len(l.e.arrivals) > 0 { // no more come
				l.arrive(<-l.e.arrivals)
			}
			return false
		default:
		}
		select {
		case q := <-l.e.arrivals:
			l.arrive(q)
			continue
		default:
		}
		if len(l.live) > 0 {
			return true
		}
		select {
		case q := <-l.e.arrivals:
			l.arrive(q)
		case <-l.e.stop:
		case <-l.e.drain:
			if len(l.e.arrivals) == 0 {
				return false
			}
		}
	}
}

func (l *loop) arrive(q *request) {
	l.live = append(l.live, q)
	l.ids++
	q.seq.ID = l.ids
	l.sched.Add(q.seq)
}

// cancelled ends the requests whose context has ended.
func (l *loop) cancelled() {
	for _, q := range slices.Clone(l.live) {
		if q.ctx.Err() != nil {
			l.sched.Remove(q.seq)
			l.stats.Cancelled++
			l.end(q, Event{Err: q.ctx.Err()})
		}
	}
}

// end sends q's last event, after its sequence has left the scheduler.
func (l *loop) end(q *request, last Event) {
	l.begin(q)
	last.Kind, last.Cached, last.Waited = KindDone, q.seq.Shared, q.waited
	q.out.send(last)
	q.out.close(q.ctx.Done())
	l.live = slices.DeleteFunc(l.live, func(x *request) bool { return x == q })
}

// begin takes q off the queue's count.
func (l *loop) begin(q *request) {
	if q.begun {
		return
	}
	q.begun, q.waited = true, time.Since(q.arrived)
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	l.e.queued--
	l.e.queuedTokens -= q.cost()
}

// guarded runs f. A panic ends the running requests, and the scheduler, which may
// be half way through something, begins anew with the waiting ones. Where none ran, one
// that waits is what it cannot stand, and all end: it would panic with them for ever.
func (l *loop) guarded(f func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		err, ok := v.(*PanicError) // a drawer's
		if !ok {
			err = &PanicError{v, debug.Stack()}
		}
		l.stats.Panics++
		l.reset()
		ran := slices.ContainsFunc(l.live, func(q *request) bool { return q.begun })
		for _, q := range slices.Clone(l.live) {
			if q.begun || !ran {
				l.stats.Failed++
				l.end(q, Event{Err: err})
			} else {
				l.sched.Add(q.seq)
			}
		}
		l.forget()
	}()
	f()
}

// forget drops the failure that an abandoned step may have left in the device.
func (l *loop) forget() {
	defer func() { _ = recover() }()
	_ = l.fw.Sync()
}

// step runs one step and hands out its tokens.
func (l *loop) step() {
	step := l.sched.Next()
	if len(step.Runs) == 0 {
		return
	}
	start := time.Now()
	defer func() { l.stats.Busy += time.Since(start) }()
	l.pack(step)
	for _, c := range step.Copies {
		l.fw.CopyPage(c.To, c.From)
	}
	l.fw.Forward(l.runs, l.rows, l.draws)
	err := l.settle()
	l.stats.Steps++
	if err != nil {
		for _, r := range step.Runs {
			q := l.request(r.Sequence)
			l.sched.Remove(r.Sequence)
			l.stats.Failed++
			l.end(q, Event{Err: err})
		}
		if errors.Is(err, ErrLost) {
			l.lose(err)
		}
		return
	}
	l.deliver(step)
}

// lose ends all requests, for the device will run no step any more. Others are refused.
func (l *loop) lose(err error) {
	l.e.mu.Lock()
	l.e.lost = err
	l.e.mu.Unlock()
	for len(l.e.arrivals) > 0 { // no more come
		l.arrive(<-l.e.arrivals)
	}
	for _, q := range slices.Clone(l.live) {
		l.sched.Remove(q.seq)
		l.stats.Failed++
		l.end(q, Event{Err: err})
	}
}

// pack lists the step's runs, and the rows whose logits it needs, with how their
// tokens may be drawn.
func (l *loop) pack(step sched.Step) {
	l.runs, l.rows, l.wants, l.draws = l.runs[:0], l.rows[:0], l.wants[:0], l.draws[:0]
	row := int32(0)
	for _, r := range step.Runs {
		q := l.request(r.Sequence)
		l.begin(q)
		l.runs = append(l.runs, model.Run{Tokens: r.Tokens[r.From:r.To], Position: r.From, Pages: r.Pages})
		if q.untold() {
			first := max(r.From, q.LogprobsFrom-1)
			q.prompt = q.prompt[:first-(q.LogprobsFrom-1)] // a preempted one begins anew
			for i := first; i < min(r.To, len(q.IDs)-1); i++ {
				l.want(row+int32(i-r.From), want{q: q, next: q.IDs[i+1]})
			}
		}
		row += int32(r.To - r.From)
		if r.Samples() {
			l.want(row-1, want{q: q, next: -1})
		}
		l.stats.PromptTokens += int64(max(min(r.To, r.Prompt)-r.From, 0))
	}
}

// want adds a row to those that the step asks for.
func (l *loop) want(row int32, w want) {
	l.rows, l.wants, l.draws = append(l.rows, row), append(l.wants, w), append(l.draws, w.draw())
}

// deliver sends the step's tokens and ends the sequences that are done.
func (l *loop) deliver(step sched.Step) {
	l.drawn = l.drawn[:0]
	for i := range l.wants {
		w := &l.wants[i]
		if w.next >= 0 {
			w.q.prompt = append(w.q.prompt, w.result)
		} else {
			l.drawn = append(l.drawn, w.result.ID)
		}
	}
	finished := l.sched.Advance(step, l.drawn)
	for _, r := range step.Runs {
		if q := l.request(r.Sequence); q.untold() && r.To >= r.Prompt {
			q.out.send(Event{Kind: KindPrompt, Prompt: q.prompt})
			q.prompt, q.told, q.seq.Logits = nil, true, 0
		}
	}
	for i := range l.wants {
		switch w := &l.wants[i]; {
		case w.next >= 0:
		case w.err != nil:
			l.sched.Remove(w.q.seq)
			l.stats.Failed++
			l.end(w.q, Event{Err: w.err})
		case w.q.seq.Stopped():
			l.stats.GeneratedTokens++
			l.end(w.q, Event{Reason: ReasonStop, Token: w.result})
		default:
			l.stats.GeneratedTokens++
			w.q.out.send(Event{Kind: KindToken, Token: w.result, Cached: w.q.seq.Shared, Waited: w.q.waited})
		}
	}
	for _, s := range finished {
		if q := l.request(s); q != nil {
			l.end(q, Event{Reason: ReasonLength})
		}
	}
}

// request returns the live request of a sequence, or nil.
func (l *loop) request(s *sched.Sequence) *request {
	for _, q := range l.live {
		if q.seq == s {
			return q
		}
	}
	return nil
}

// publish makes the loop's counts visible.
func (l *loop) publish() {
	s := l.counted()
	s.Running, s.FreePages, s.CachedPages = l.sched.Running(), l.pages.Free(), l.pages.Kept()
	l.e.stats.Store(&s)
}
