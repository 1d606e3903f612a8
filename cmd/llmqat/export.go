package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/gguf"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
)

type exportCmd struct {
	Model  string `help:"The .qat file." required:"" type:"path" placeholder:"FILE"`
	Format string `help:"What to write: ${enum}." enum:"hf,compressed-tensors,gguf-f16,gguf-q8_0,gguf-q4_0" required:"" placeholder:"FORMAT"`
	Float  string `help:"Type of what is written as floats in hf and compressed-tensors: f32, f16 or bf16. Unset: f16." enum:",f32,f16,bf16" default:"" placeholder:"TYPE"`
	Out    string `help:"Directory to write, new or empty; for GGUF the file." required:"" type:"path" placeholder:"PATH"`
}

func (exportCmd) Help() string {
	return `Writes a model in the form in which other programs run it: its weights as they are, or as near
as the form allows. The 4-bit KV cache and quantized activations are llmqat's own, and stay
behind: other programs keep both in floats, but for 8-bit weights and activations in vLLM.

  llmqat export --model m.qat --format hf --out m-hf
      for transformers and all that loads its directories: integers times their scales, as floats.
      --float f32 is exact, f16 rounds each weight above 6e-5 by up to 1 part in 2048, bf16 by 1 in 256.
  llmqat export --model m.qat --format compressed-tensors --out m-ct
      for vLLM and transformers: the integers of the layers and their scales, exact. 8-8-KV runs as
      W8A8, all others as 4- or 8-bit weights with float activations. lm_head is floats: quantized
      again it has the same scales only from --float f32. vLLM wants rows of whole int32s: inputs
      that are multiples of 8 for 4 bits, of 4 for 8.
  llmqat export --model m.qat --format gguf-q4_0 --out m.gguf
      for llama.cpp: 4-bit integers, exact; their scales as float16, off by up to 1 part in 2048.
      gguf-q8_0 takes 8- and 4-bit integers, gguf-f16 any model. Rows that are no multiple of 32
      become float16.

What is written is there once it is whole. A file is replaced, a directory only if it is empty.`
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
	if f.Header().Tokenizer == nil {
		fmt.Fprintf(os.Stderr, "%s has no tokenizer: what is written will have none\n", c.Model)
	}
	matrices, isGGUF := map[string]format.DType{"gguf-f16": format.F16, "gguf-q8_0": format.Q8, "gguf-q4_0": format.Q4}[c.Format]
	if isGGUF && c.Float != "" {
		return fmt.Errorf("--float %s: %s says itself what has which type: leave it out", c.Float, c.Format)
	}
	var off convert.Off
	step, end := progress.Bar(os.Stderr, "export")
	switch {
	case isGGUF:
		off, err = convert.GGUF(ctx, f, c.Out, matrices, step)
	case c.Format == "hf":
		err = convert.HF(ctx, f, c.Out, float, step)
	default:
		off, err = convert.Compressed(ctx, f, c.Out, float, step)
	}
	end()
	if err != nil {
		return err
	}
	if off.Scale > 0 {
		fmt.Fprintf(os.Stderr, "scales are off by at most %.2g of themselves\n", off.Scale)
	}
	if n := len(off.Floats); n > 0 {
		fmt.Fprintf(os.Stderr, "%d tensors are float16, as their rows are no multiple of %d: %s, ...\n", n, gguf.Block, off.Floats[0])
	}
	if n := len(off.Uneven); n > 0 {
		fmt.Fprintf(os.Stderr, "%d tensors have rows that end within an int32, which transformers loads and vLLM does not: %s, ...\n", n, off.Uneven[0])
	}
	fmt.Fprintf(os.Stderr, "wrote %s\n", c.Out)
	return nil
}
