package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/eval/task"
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/cost"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
)

// foreseeFlags ask what tasks take, of a model that is here or of one that is not.
type foreseeFlags struct {
	DryRun bool       `help:"Say how many requests and tokens --tasks are, what they take in memory and time, and end."`
	Shape  string     `help:"With --dry-run, instead of --model: a model that is not here, by its name or config.json (${shapes})." xor:"model" required:"" placeholder:"NAME"`
	Bits   string     `help:"Of --shape: its W-A-KV. Unset: 4-8-4." placeholder:"W-A-KV"`
	Speed  cost.Speed `help:"For --dry-run: another machine than this one, which is measured else: multiply-adds a second of floats and of int8, and bytes read a second, at most, as 495e12,990e12,3.35e12." placeholder:"FLOAT,INT8,READ"`
}

func (c *foreseeFlags) check(tasks []string, s *serverFlags) error {
	switch {
	case c.Shape != "" && !c.DryRun:
		return errors.New("--shape says nothing of a model's weights: name them by --model, or give --dry-run")
	case c.DryRun && s.URL != "":
		return errors.New("--dry-run is about models that run here: give --model or --shape")
	case c.DryRun && tasks == nil:
		return errors.New("--dry-run is about --tasks: give --tasks all, or some of their names")
	case c.Shape != "" && s.Tokenizer == "":
		return errors.New("--shape: its tokens are not known: give its tokenizer.model or tokenizer.json by --tokenizer")
	}
	return nil
}

// sameBits refuses a --bits that the model does not have: nobody shall take its figures for those of another.
func (c *foreseeFlags) sameBits(model string, has quant.Bits) error {
	if c.Bits == "" || c.Bits == has.String() {
		return nil
	}
	return fmt.Errorf("--bits %s: %s is evaluated as it is, at %v: make another by llmqat quantize --bits %s, or leave --bits (LLMQAT_BITS) out", c.Bits, model, has, c.Bits)
}

// shape is all of the model's header that a dry run needs, its tokenizer included, until close.
func (c *evalCmd) shape() (h *qat.Header, close func() error, err error) {
	if c.Shape == "" {
		return c.shapeOfModel()
	}
	m, err := source.Shape(c.Shape)
	if err != nil {
		return nil, nil, fmt.Errorf("--shape: %w", err)
	}
	h = &qat.Header{Config: m, Quantization: qat.Quantization{KVScheme: quant.KVHeadZP, Float: qat.Float16, LMHeadBits: 16}}
	if h.Quantization.Bits, err = quant.ParseBits(cmp.Or(c.Bits, "4-8-4")); err != nil {
		return nil, nil, err
	}
	if h.Tokenizer, err = source.Tokenizer(c.Tokenizer); err == nil {
		err = format.CheckTokenizer(h.Tokenizer, m.VocabSize)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--tokenizer: %w", err)
	}
	return h, func() error { return nil }, nil
}

// shapeOfModel is --model's; a float model's as openEval would make it.
func (c *evalCmd) shapeOfModel() (*qat.Header, func() error, error) {
	if isQAT(c.Model) {
		f, err := qat.Open(c.Model)
		if err != nil {
			return nil, nil, err
		}
		return f.Header(), f.Close, nil
	}
	src, err := source.Open(c.Model, c.Tokenizer)
	if err != nil {
		return nil, nil, err
	}
	q := qat.Quantization{Bits: floatBits, KVScheme: quant.KVHeadZP, Float: qat.Float32, LMHeadBits: 16}
	return &qat.Header{Config: *src.Config(), Quantization: q, Tokenizer: src.Tokenizer()}, src.Close, nil
}

// foresee prints what asking the sets would take.
func (c *evalCmd) foresee(w io.Writer, sets []*task.Set) (err error) {
	h, close, err := c.shape()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, close()) }()
	name := cmp.Or(c.Shape, c.Model)
	if h.Tokenizer == nil {
		return noTokenizer(name, "the tasks")
	}
	dev, err := device.Open(c.Device, c.Threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	takes, err := task.Foresee(sets, c.protocols(), h.Tokenizer, h.Config.MaxPositionEmbeddings+1)
	if err != nil {
		return err
	}
	e, err := score.Foresee(h, engine.Options{Device: dev.Device, Threads: dev.Threads}, takes.Longest)
	if err != nil {
		return err
	}
	speed, of, err := c.Speed.Or(dev, h.Quantization.Bits.W)
	if err != nil {
		return err
	}
	tokens, step := float64(takes.Tokens), float64(e.Budget)
	work := cost.Pass{
		Tokens: step, Seqs: min(float64(e.MaxSeqs), step*float64(takes.Requests)/tokens),
		Context: takes.Context, Logits: step * float64(takes.Scored) / tokens,
	}.Of(h, tokens/step)
	seconds := work.Seconds(speed)
	_, err = fmt.Fprintf(w, `%s, %v
weights              %10.1f MB
KV cache             %10.1f MB, %d tokens
scratch              %10.1f MB

%d items of %d tasks: %d requests, %.4g tokens to compute, %.4g of them scored
%.3g multiply-adds of floats and %.3g of int8, %.3g bytes read
%s: %.3g, %.3g and %.3g a second at most: %.3g tokens/s
%s
`, filepath.Base(name), h.Quantization.Bits, float64(e.WeightBytes)/1e6, float64(e.KVBytes)/1e6, e.KVTokens(), float64(e.ScratchBytes)/1e6,
		takes.Items, len(sets), takes.Requests, tokens, float64(takes.Scored), work.Float, work.Int8, work.Bytes,
		of, speed.Float, speed.Int8, speed.Read, tokens/seconds, cost.Total(e.Bytes(), seconds))
	return err
}
