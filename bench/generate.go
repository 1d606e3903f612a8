package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Workload is a closed batch: sequences that all come at once, of In tokens each, and are
// continued by Out greedy ones. It runs through the server's own engine: its prefill,
// its schedule, its drawing of tokens.
type Workload struct {
	Seqs int `json:"sequences"`
	In   int `json:"in"`
	Out  int `json:"out"`
}

// ParseWorkload reads "SEQS,IN,OUT".
func ParseWorkload(s string) (w Workload, err error) {
	parts := strings.Split(s, ",")
	for i, n := range []*int{&w.Seqs, &w.In, &w.Out} {
		if err == nil && i < len(parts) {
			*n, err = strconv.Atoi(parts[i])
		}
	}
	if err != nil || len(parts) != 3 || w.Seqs < 1 || w.In < 1 || w.Out < 1 {
		return w, fmt.Errorf("workload %q: want SEQS,IN,OUT, each at least 1, as 120,128,2048", s)
	}
	return w, nil
}

// GenerateReport is one run of a workload.
type GenerateReport struct {
	About
	Workload Workload    `json:"workload"`
	Models   []Generated `json:"models"`
}

// Generated is what one model reached.
type Generated struct {
	Name       string    `json:"name"`
	KVScheme   string    `json:"kv_scheme,omitempty"`
	PerSec     float64   `json:"tokens_per_second"` // generated, from the first request to the last token
	All        []float64 `json:"samples"`
	Seconds    float64   `json:"seconds"`
	FirstToken float64   `json:"seconds_to_last_first_token"` // until every sequence had one
	Steps      int64     `json:"steps"`
	Held       int       `json:"sequences_held"` // whose whole contexts the KV cache has room for: others wait or are computed again
	Share      float64   `json:"share"`          // of the read bandwidth measured beside each sample
}

// generated are the samples of one file.
type generated struct {
	perSec, seconds, first, steps, shares []float64
}

// RunGenerate runs the workload with every model, in turn.
func RunGenerate(ctx context.Context, o Options, w Workload) (*GenerateReport, error) {
	o.Batches, o.Contexts, o.Prompts, o.Decode = []int{1}, []int{w.In}, []int{w.In}, w.Out
	if err := o.fill(nil, nil); err != nil {
		return nil, err
	}
	if len(o.Threads) > 1 {
		return nil, fmt.Errorf("%d numbers of threads; a workload takes one", len(o.Threads))
	}
	rigs, files, title, end, err := o.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	r := &GenerateReport{About: o.about(title, rigs), Workload: w}
	r.Models = make([]Generated, len(files))
	samples := make([]generated, len(files))
	step, done := progress.Bar(o.Log, "generating")
	defer done()
	for i := range o.Repeats {
		for j, f := range files {
			if err := o.generate(ctx, rigs[0], f, w, &r.Models[j], &samples[j]); err != nil {
				return nil, err
			}
			step(int64(i*len(files)+j+1), int64(o.Repeats*len(files)))
		}
	}
	for j := range r.Models {
		s, m := &samples[j], &r.Models[j]
		m.All, m.PerSec, m.Seconds, m.FirstToken = s.perSec, median(s.perSec), median(s.seconds), median(s.first)
		m.Steps, m.Share = int64(median(s.steps)), median(s.shares)
	}
	if _, err := rigs[0].peaks(); err != nil {
		return nil, err
	}
	r.Machine.Ceilings = append(r.Machine.Ceilings, rigs[0].median())
	return r, nil
}

// generate runs the workload once with one file.
func (o *Options) generate(ctx context.Context, g *rig, f file, w Workload, m *Generated, s *generated) error {
	q, err := qat.Open(f.path)
	if err != nil {
		return err
	}
	defer q.Close()
	d := describeModel(f.name, q)
	m.Name, m.KVScheme = d.Name, d.KVScheme
	bandwidth, err := g.bandwidth()
	if err != nil {
		return err
	}
	opt := engine.Options{
		Device: g.dev, MaxContext: w.In + w.Out, MaxSeqs: w.Seqs, Budget: max(o.Pass, w.Seqs),
		MaxQueue: w.Seqs, MaxQueueTokens: int64(w.Seqs) * int64(w.In+w.Out),
	}
	pages := kvcache.Count(w.In + w.Out)
	if h := q.Header(); g.threads > 0 { // a GPU's engine takes as much as is free, by itself
		opt.KVBytes = int64(w.Seqs*pages) * kvcache.PageBytes(&h.Config, h.Quantization.KV())
	}
	e, err := engine.New(q, opt)
	if err != nil {
		return err
	}
	defer e.Close()
	m.Held = min(w.Seqs, e.Info().KVPages/pages)
	took, first, err := w.run(ctx, e, q.Header().Config.VocabSize)
	if err != nil {
		return err
	}
	steps := e.Stats().Steps
	contexts := int64(w.Out)*int64(w.In) + int64(w.Out)*int64(w.Out+1)/2 // of one sequence, over its steps
	bytes := steps*d.WeightBytes + int64(w.Seqs)*contexts*d.KVTokenBytes
	s.perSec = append(s.perSec, float64(w.Seqs*w.Out)/took.Seconds())
	s.seconds = append(s.seconds, took.Seconds())
	s.first = append(s.first, first.Seconds())
	s.steps = append(s.steps, float64(steps))
	s.shares = append(s.shares, float64(bytes)/took.Seconds()/bandwidth)
	return nil
}

// run sends every sequence at once, and returns the time until all were done, and until
// each had its first token.
func (w Workload) run(ctx context.Context, e *engine.Engine, vocab int) (took, first time.Duration, err error) {
	rng := rand.New(rand.NewPCG(1, 2))
	prompts := make([][]int32, w.Seqs)
	for i := range prompts {
		for range w.In {
			prompts[i] = append(prompts[i], int32(rng.IntN(vocab)))
		}
	}
	firsts := make([]time.Duration, w.Seqs)
	wait, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for i, ids := range prompts {
		events, err := e.Generate(ctx, engine.Request{IDs: ids, MaxTokens: w.Out, Logprobs: -1, IgnoreEOS: true})
		if err != nil {
			return 0, 0, err
		}
		wait.Go(func() error {
			tokens := 0
			for ev := range events {
				if ev.Err != nil {
					return ev.Err
				}
				if ev.Kind == engine.KindToken {
					if tokens++; tokens == 1 {
						firsts[i] = time.Since(start)
					}
				}
			}
			if tokens != w.Out {
				return fmt.Errorf("sequence %d has %d new tokens, want %d", i, tokens, w.Out)
			}
			return nil
		})
	}
	if err := wait.Wait(); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	for _, f := range firsts {
		first = max(first, f)
	}
	return took, first, nil
}
