package main

import (
	"context"
	"os"
	"strings"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/internal/progress"
)

type synthCmd struct {
	Shape string `help:"The model whose shape it has." required:"" placeholder:"NAME"`
	formatFlags
	Seed uint64 `help:"Seed of the weights: the same seed gives the same file." default:"1"`
	Out  string `help:"File to write." required:"" type:"path" placeholder:"FILE"`
}

func (synthCmd) Help() string {
	return `The file has a real model's shape, bytes and speed, and says nothing sensible. Its tokenizer
is made up, too.

  llmqat synth --shape tinyllama-1.1b --bits 4-8-4 --out tiny.qat
  llmqat synth --shape llama-7b --bits 16-16-16 --out 7b-fp16.qat
  llmqat-serve --model tiny.qat

Shapes: ` + strings.Join(convert.Shapes(), ", ") + "."
}

func (c *synthCmd) Run(ctx context.Context) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	shape, err := convert.Shape(c.Shape)
	if err != nil {
		return err
	}
	var end func()
	o.Progress, end = progress.Bar(os.Stderr, "synth "+c.Shape)
	o.Source, o.Seed = "random weights of the shape "+c.Shape, c.Seed
	err = convert.Synth(ctx, shape, c.Out, o)
	end()
	if err != nil {
		return err
	}
	return wrote(c.Out)
}
