package main

import (
	"context"
	"path/filepath"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train"
	"github.com/llmqat/llmqat/train/nn"
)

// options are the run's files, and how they are written and served.
func (c *qatCmd) options(src format.FileSource, config train.Config, dev kernels.Device, notes map[string]string) train.Options {
	q := config.Quantization
	file := convert.Options{
		Bits: q.Bits, KVScheme: q.KVScheme, LMHeadBits: q.LMHeadBits, Float: q.Float, Chat: src.ChatTemplate(),
		Source: filepath.Base(c.Teacher), CreatedBy: "llmqat-train " + version,
	}
	return train.Options{
		Dir: c.Out, Teacher: src, Resume: c.Resume,
		Export: func(ctx context.Context, path string, m *nn.Model, s train.Summary) error {
			o := file
			o.Seed = c.Seed
			o.Trained = convert.Trained{Method: "qat", SourceHash: config.Teacher, Steps: s.Steps, Tokens: s.Tokens, Notes: notes, Scales: m.Steps}
			return convert.Quantize(ctx, m.Source(src.Tokenizer()), path, o)
		},
		Round: func(ctx context.Context, path string) error { return convert.Quantize(ctx, src, path, file) },
		Serve: func(path string, windows [][]int32) (train.Server, error) {
			return eval.OpenStream(dev, path, windows, eval.Options{})
		},
	}
}

// evalTokens is what an evaluation takes where --eval-windows does not say: on the
// machine that trains 2,048 tokens a step about 5 steps' time.
const evalTokens = 32_768

// evalWindows is how many windows an evaluation takes, 0 for all.
func (c *qatCmd) evalWindows(held *train.Data) int {
	n := c.EvalWindows
	if n == 0 {
		for tokens := 0; n < held.Len() && (n == 0 || tokens+len(held.Window(n)) <= evalTokens); n++ {
			tokens += len(held.Window(n))
		}
	}
	if n >= held.Len() {
		return 0
	}
	return n
}
