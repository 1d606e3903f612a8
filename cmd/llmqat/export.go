package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
)

type exportCmd struct {
	Model  string `help:"The .qat file." required:"" type:"path" placeholder:"FILE"`
	Format string `help:"What to write: ${enum}." enum:"hf,compressed-tensors" required:"" placeholder:"FORMAT"`
	Float  string `help:"Type of dequantized weights in hf: f32, f16 or bf16. Unset: f16." enum:",f32,f16,bf16" default:"" placeholder:"TYPE"`
	Out    string `help:"Directory to write: new, or empty." required:"" type:"path" placeholder:"PATH"`
}

func (exportCmd) Help() string {
	return `Writes a model in the form in which other programs run it. The 4-bit KV cache and 8-bit activations
are llmqat's own: other programs run the same weights with activations and cache in floats.

  llmqat export --model m.qat --format hf --out m-hf
      for transformers and all that loads its directories: integers times their scales, as floats.
      --float f32 is exact, f16 rounds each weight by at most 1 part in 2048, bf16 by 1 in 256.

What is written is there once it is whole; nothing that exists is replaced but an empty directory.`
}

func (c *exportCmd) Run(ctx context.Context) error {
	float, err := convert.ParseFloat(cmp.Or(c.Float, "f16"))
	if err != nil {
		return err
	}
	f, err := qat.Open(c.Model)
	if err != nil {
		return err
	}
	defer f.Close()
	step, end := progress.Bar(os.Stderr, "export")
	switch c.Format {
	case "hf":
		err = convert.HF(ctx, f, c.Out, float, step)
	case "compressed-tensors":
		err = convert.Compressed(ctx, f, c.Out, float, step)
	}
	end()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %s\n", c.Out)
	return nil
}
