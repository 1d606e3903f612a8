package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/cost"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/generate"
	"github.com/llmqat/llmqat/train"
)

// planFlags are what a dry run is told beside its command.
type planFlags struct {
	Speed cost.Speed `help:"For --dry-run: another machine than this one, which is measured else: multiply-adds a second of floats and of int8, and bytes read a second, at most, as 495e12,990e12,3.35e12." placeholder:"FLOAT,INT8,READ"`
}

// paperRate is LLM-QAT's learning rate, for LLaMA-7B.
const paperRate = 2e-5

// foresee plans the training of a model that is not here, on data that it would make: as many windows as
// the steps take, each of the whole length.
func (c *qatCmd) foresee(ctx context.Context) error {
	if !c.DryRun {
		return errors.New("--shape says nothing of a model's weights: name them by --teacher, or give --dry-run")
	}
	m, err := source.Shape(c.Shape)
	if err != nil {
		return fmt.Errorf("--shape: %w", err)
	}
	c.LR, c.Float = cmp.Or(c.LR, paperRate), cmp.Or(c.Float, "f16")
	config, err := c.config(ctx, &m, nil)
	if err != nil {
		return err
	}
	dev, err := cpu.New(c.Threads, "")
	if err != nil {
		return err
	}
	defer dev.Close()
	windows := config.Steps * config.Batch
	plan, err := train.PlanOf(config, &m, windows*config.Length, config.Length)
	if err != nil {
		return err
	}
	return c.describe(os.Stdout, &plan, config, windows, windows*config.Length, 0, dev)
}

// reachedByTraining is the part of the peak of floats that a step as a whole reaches.
const reachedByTraining = 0.5

// describe prints the plan of a run on so many windows of so many tokens in all.
func (c *qatCmd) describe(w io.Writer, p *train.Plan, config train.Config, windows, tokens, held int, dev *cpu.Device) error {
	peak, of := c.Speed.Float, "the machine of --speed does"
	if peak == 0 {
		peak, of = dev.Float32Peak(), fmt.Sprintf("%s does on %d threads", dev.Name(), dev.Workers())
	}
	step := p.MACs / (reachedByTraining * peak)
	for _, r := range []struct {
		name  string
		bytes int64
	}{
		{"teacher's weights", p.Teacher.Weights}, {"student's weights", p.Student.Weights}, {"rounded weights", p.Student.Rounded},
		{"gradients", p.Student.Gradients}, {"AdamW's moments", p.Moments},
		{"activations, logits", p.Teacher.Activations + p.Student.Activations}, {"windows", p.Data},
	} {
		if _, err := fmt.Fprintf(w, "%-20s %10.1f MB\n", r.name, float64(r.bytes)/1e6); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, `
%d windows of %d tokens in all to train on, %d to evaluate on
%d steps of up to %d tokens: %.3g epochs
%.3g multiply-adds of floats a step; %s %.3g a second at most
at %.0f %% of that, on a CPU, for the trainer runs on nothing else yet: %.3g tokens/s, %v a step
%s
`, windows, tokens, held, config.Steps, p.StepTokens, float64(config.Steps*config.Batch)/float64(windows),
		p.MACs, of, peak, 100*reachedByTraining, float64(p.StepTokens)/step, duration(step),
		cost.Total(p.Bytes(), step*float64(config.Steps)))
	return err
}

func duration(seconds float64) time.Duration {
	d := time.Duration(min(seconds*1e9, math.MaxInt64/2))
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// foresee prints what the samples of p take.
func (c *generateCmd) foresee(ctx context.Context, w io.Writer, t *generate.Teacher, p *generate.Plan) error {
	dev, err := device.Open(c.Device, c.Threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	h, err := t.Header(ctx)
	if err != nil {
		return err
	}
	e, err := engine.Foresee(h, p.EngineOptions(dev, c.Batch))
	if err != nil {
		return err
	}
	speed, of, err := c.Speed.Or(dev, 16)
	if err != nil {
		return err
	}
	from, to := p.Header.Range()
	length := float64(p.Header.MaxTokens)
	tokens := float64(to-from) * length
	batch := min(float64(c.Batch), float64(to-from))
	work := cost.Pass{Tokens: batch, Seqs: batch, Context: length / 2, Logits: batch}.Of(h, tokens/batch)
	seconds := work.Seconds(speed)
	_, err = fmt.Fprintf(w, `teacher's weights    %10.1f MB, as %s
KV cache             %10.1f MB, %d tokens
scratch              %10.1f MB

%d samples of up to %d tokens: %.4g tokens at most; those that EOS ends are shorter
%.0f together; %.3g multiply-adds of floats, %.3g bytes read
%s: %.3g multiply-adds and %.3g bytes a second at most: %.3g tokens/s
%s
`, float64(e.WeightBytes)/1e6, h.Quantization.Float, float64(e.KVBytes)/1e6, e.KVTokens(), float64(e.ScratchBytes)/1e6,
		to-from, p.Header.MaxTokens, tokens, batch, work.Float, work.Bytes, of, speed.Float, speed.Read, tokens/seconds,
		cost.Total(e.Bytes(), seconds))
	return err
}
