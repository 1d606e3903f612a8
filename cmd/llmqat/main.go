// Command llmqat makes .qat files, looks into them and runs them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/train/ptq"
)

var version = "dev" // set by the linker

const about = `Makes, inspects and runs .qat files: LLaMA models with int4 or int8 weights, their scales and
their tokenizer in one safetensors file that llmqat-serve maps into memory.

  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --out tinyllama.qat
  llmqat inspect tinyllama.qat --verify
  llmqat run --model tinyllama.qat "Once upon a time"
  llmqat export --model tinyllama.qat --format hf --out tinyllama-hf
  llmqat eval --model tinyllama.qat --teacher TinyLlama-1.1B/ --text book.txt
  llmqat eval --model tinyllama.qat --tasks all --task-data eval/
  llmqat synth --shape llama-7b --bits 4-8-4 --out speed.qat

llmqat COMMAND --help tells more of each. Every flag is also a variable: --bits is LLMQAT_BITS.`

type commands struct {
	Quantize quantizeCmd `cmd:"" help:"Quantize a float model: round it to nearest, or by a method that loses less."`
	Run      runCmd      `cmd:"" help:"Continue a text, on standard output."`
	Eval     evalCmd     `cmd:"" help:"Measure a model's quality: perplexity, how near it is to its teacher, multiple-choice tasks."`
	Inspect  inspectCmd  `cmd:"" help:"Print what is in a .qat file, and check it."`
	Export   exportCmd   `cmd:"" help:"Write a model as other programs load it: for transformers, vLLM, llama.cpp."`
	Synth    synthCmd    `cmd:"" help:"Make a model of a real shape with random weights, to measure speed."`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	context.AfterFunc(ctx, stop) // a second interrupt ends at once
	k := kong.Parse(&c, kong.Name("llmqat"), kong.Description(about), kong.DefaultEnvars("LLMQAT"),
		kong.Vars{"version": version, "methods": strings.Join(ptq.Methods(), ", "), "shapes": source.Shapes()}, kong.ShortUsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)))
	err := k.Run()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "llmqat: interrupted")
		os.Exit(130) // as a shell has it
	}
	k.FatalIfErrorf(err)
}
