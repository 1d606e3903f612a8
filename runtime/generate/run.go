package generate

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

// Progress says how far a shard is.
type Progress struct {
	Done, Total int64 // samples of the shard
	Tokens      int64 // generated since the start of Run
}

// MaxBatch is how many samples can be drawn together: those of a pass of runtime/model,
// which has a token of each.
const MaxBatch = 1 << 16

// Engine returns an engine that draws batch samples of p together from f, on a device
// that it alone uses until Close. progress, if not nil, is called while weights are
// copied there.
func (p *Plan) Engine(f *qat.File, dev *device.Opened, batch int, progress func(done, total int64)) (*engine.Engine, error) {
	if batch < 1 || batch > MaxBatch {
		return nil, fmt.Errorf("a batch of %d samples, want 1 to %d", batch, MaxBatch)
	}
	o := p.EngineOptions(dev, batch)
	o.Progress = progress
	return engine.New(f, o)
}

// EngineOptions are those of Engine.
func (p *Plan) EngineOptions(dev *device.Opened, batch int) engine.Options {
	return engine.Options{
		Device: dev.Device, Threads: dev.Threads, MaxContext: p.Header.MaxTokens, MaxSeqs: batch, Budget: max(batch, 512),
		MaxQueue: batch, MaxQueueTokens: int64(batch) * int64(p.Header.MaxTokens),
	}
}

// ahead is how many samples for each of a batch may be finished before the oldest one
// is: about as many as are made while that one takes its 2048 tokens and the others
// end early.
const ahead = 64

// Run draws the samples that w lacks and writes them in order of index. When ctx ends
// it returns; w then has whole samples. report, if not nil, is called about twice a
// second.
//
// As many are drawn at once as e runs. Each has its place in the queue of those to be
// written from its beginning on.
func (p *Plan) Run(ctx context.Context, e *engine.Engine, w *tokens.Writer, report func(Progress)) error {
	from, to := p.Header.Range()
	next, _ := w.Next()
	var done atomic.Int64
	done.Store(next - from)
	defer reporting(report, func() Progress {
		return Progress{done.Load(), to - from, e.Stats().GeneratedTokens}
	})()

	batch := e.Info().MaxSeqs
	places := make(chan chan tokens.Sample, ahead*batch)
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(batch + 1)
	g.Go(func() error {
		for place := range places {
			select {
			case s := <-place:
				if err := w.Write(&s); err != nil {
					return err
				}
				done.Add(1)
			case <-running.Done():
				return running.Err()
			}
		}
		return nil
	})
	for i := next; i < to && running.Err() == nil; i++ {
		place := make(chan tokens.Sample, 1)
		select {
		case places <- place:
		case <-running.Done():
			continue // to the end
		}
		g.Go(func() error {
			s, err := p.draw(running, e, i)
			if err != nil {
				return fmt.Errorf("sample %d: %w", i, err)
			}
			place <- s
			return nil
		})
	}
	close(places)
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err() // it may have ended between two samples
}

// draw makes sample i: the likeliest tokens first, then drawn ones, in two requests.
func (p *Plan) draw(ctx context.Context, e *engine.Engine, i int64) (s tokens.Sample, err error) {
	h := &p.Header
	start, greedy, seed := p.At(i)
	s = tokens.Sample{Index: i, Start: start, Greedy: greedy}
	if h.BOS >= 0 {
		s.IDs = append(s.IDs, h.BOS)
	}
	s.IDs = append(s.IDs, start)
	s.Prompt = len(s.IDs)
	if err := extend(ctx, e, &s, greedy, sample.Params{}); err != nil || s.EOS {
		return s, err
	}
	return s, extend(ctx, e, &s, h.MaxTokens-len(s.IDs), sample.Params{Temperature: h.Sampling.Temperature, TopK: h.Sampling.TopK, Seed: seed})
}

// extend appends up to n tokens to s, the one that ends the text included.
func extend(ctx context.Context, e *engine.Engine, s *tokens.Sample, n int, p sample.Params) error {
	if n == 0 {
		return nil
	}
	events, err := e.Generate(ctx, engine.Request{IDs: s.IDs, MaxTokens: n, Sampling: p, Logprobs: -1})
	if err != nil {
		return err
	}
	for ev := range events {
		switch {
		case ev.Kind == engine.KindToken:
			s.IDs = append(s.IDs, ev.Token.ID)
		case ev.Err != nil:
			return ev.Err
		case ev.Reason == engine.ReasonStop:
			s.IDs, s.EOS = append(s.IDs, ev.Token.ID), true
		}
	}
	return nil
}

// reporting calls report about twice a second with what progress returns, until the
// function that it returns is called, and then once more.
func reporting(report func(Progress), progress func() Progress) (stop func()) {
	if report == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				report(progress())
			case <-end:
				report(progress())
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}
