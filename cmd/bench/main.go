// Command bench measures models side by side: FP16 against 4-8-4 in one run.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/llmqat/llmqat/bench"
)

var version = "dev" // set by the linker

const about = `Measures prefill and decode speed of a LLaMA at several settings, in turn within one
run, beside the machine's own limits: how much of the read bandwidth decode reaches, and of the
multipliers' peak prefill.

  bench --shape tinyllama-1.1b                        random weights of a real shape
  bench --model path/to/hf-dir                        a model of yours, quantized on the way
  bench --model a.qat,b.qat                           checkpoints as they are
  bench --shape llama-7b --compare 16-16-16,8-8-8,4-8-4 --context 128,2000 --out results/7b
  bench --shape tinyllama-1.1b --batch 1,4,16         several sequences decoded together
  bench --shape tinyllama-1.1b --threads 1,2,4,8      thread scaling
  bench --shape tinyllama-1.1b --compare 4-8-16,4-8-8,4-8-4 --context 512,8192,32768
  bench --shape tinyllama-1.1b --micro                single operators
  bench --shape tinyllama-1.1b --profile              where the time of a step goes
  bench --shape llama-7b --generate 120,128,2048      a closed batch, all through the server's engine
  bench --shape stories3m --train --threads 1,2       a step of llmqat-train
  bench --shape llama-7b --device cuda --batch 1,64 --context 1024
  bench serve --help                                  load on a server, of any make
  bench report --help                                 quality and speed of a set of models, as one page

The first column is the base of the ratios. --out NAME also writes NAME.json, NAME.svg and NAME.txt.
Every flag is also a variable: --shape is LLMQAT_BENCH_SHAPE.`

type flags struct {
	Model    []string `help:"Hugging Face directory, GGUF or llama2.c file to quantize at each setting; or .qat files." placeholder:"PATH,..." xor:"input" required:""`
	Shape    string   `help:"Random weights of this shape: tinyllama-1.1b, llama-7b, ...; kept in --cache." xor:"input" required:""`
	Device   string   `help:"auto (the first GPU, else the CPU), cpu, cuda or cuda:N." default:"auto"`
	Micro    bool     `help:"Measure the operators of --shape one by one, without files: linear layers of --batch rows, attention at each --context and KV format." xor:"what"`
	Profile  bool     `help:"Measure where the time of each prefill and decode goes: by operator, on a GPU by kernel." xor:"what"`
	Generate string   `help:"Run a closed batch through the server's engine, instead of prompts and contexts: SEQS,IN,OUT, as 120,128,2048." xor:"what" placeholder:"SEQS,IN,OUT"`
	Train    bool     `help:"Measure training steps as llmqat-train does them: teacher and student forward, the student's backward, AdamW. --batch windows of --context tokens each." xor:"what"`
	Compare  []string `help:"Settings W-A-KV, the base first." default:"16-16-16,4-8-4" placeholder:"BITS,..."`
	KVScheme []string `help:"KV schemes: head-zp, head, token; a column each for settings with a quantized cache." default:"head-zp"`
	Float    string   `help:"Type of float weights: f16, bf16 or f32." enum:"f16,bf16,f32" default:"f16"`
	Tokens   string   `name:"tokenizer" help:"Tokenizer of --model where it has none beside it." placeholder:"FILE"`
	Prompt   []int    `help:"Prompt lengths to prefill. Default 512."`
	Context  []int    `help:"Context lengths to decode at. Default 64; of --micro 512,2048,8192,32768; of --train 256, or the model's where that is less."`
	Batch    []int    `help:"Sequences to decode together; tokens/s counts those of all. Default 1; of --micro 1,2,4,8,16,32,64,512; of --train 8."`
	Pass     int      `help:"Tokens of the passes that a prompt is cut in; the server's are 512." default:"512"`
	Decode   int      `help:"Tokens decoded from there; short samples repeat it." default:"32"`
	Repeats  int      `help:"Samples of everything; medians are shown." default:"5"`
	Threads  []int    `help:"Numbers of a CPU's threads to measure with; 0: one a core." default:"0"`
	Cache    string   `help:"Where files are made: random weights, kept for the next run, and a model's quantized ones, removed at the end. Unset: the user's cache directory." type:"path" placeholder:"DIR"`
	Out      string   `help:"Write NAME.json, NAME.svg and NAME.txt." type:"path" placeholder:"NAME"`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

func main() {
	if bench.RunProbe(os.Args[1:], os.Stdout) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends at once
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		k, err := serve(ctx, os.Args[2:])
		fatal(ctx, k, err)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "report" {
		k, err := runReport(ctx, os.Args[2:])
		fatal(ctx, k, err)
		return
	}
	var f flags
	k := kong.Parse(&f, kong.Name("bench"), kong.Description(about), kong.DefaultEnvars("LLMQAT_BENCH"),
		kong.Vars{"version": version}, kong.ShortUsageOnError())
	if f.Out != "" {
		k.FatalIfErrorf(bench.CheckOut(f.Out))
	}
	report, err := f.run(ctx, bench.Options{
		Device: f.Device, Pass: f.Pass, Models: f.Model, Shape: f.Shape, Tokenizer: f.Tokens, Settings: f.Compare, KVSchemes: f.KVScheme, Float: f.Float,
		Prompts: f.Prompt, Contexts: f.Context, Batches: f.Batch, Decode: f.Decode, Repeats: f.Repeats, Threads: f.Threads,
		Cache: f.Cache, Version: version, Log: os.Stderr,
	})
	fatal(ctx, k.Kong, err)
	k.FatalIfErrorf(report.Table(os.Stdout))
	if f.Out != "" {
		k.FatalIfErrorf(save(report, f.Out))
	}
}

// fatal ends the process where there is an error.
func fatal(ctx context.Context, k *kong.Kong, err error) {
	if ctx.Err() != nil && err != nil {
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		os.Exit(130) // as a shell has it
	}
	k.FatalIfErrorf(err)
}

func save(r bench.Output, base string) error {
	if err := bench.Save(r, base); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %[1]s.json, %[1]s.svg, %[1]s.txt\n", base)
	return nil
}

// run measures whole models, their steps' parts, a workload, or single operators.
func (f *flags) run(ctx context.Context, o bench.Options) (bench.Output, error) {
	switch {
	case f.Micro:
		return bench.RunMicro(ctx, o)
	case f.Profile:
		return bench.RunProfile(ctx, o)
	case f.Generate != "":
		w, err := bench.ParseWorkload(f.Generate)
		if err != nil {
			return nil, err
		}
		return bench.RunGenerate(ctx, o, w)
	case f.Train:
		return bench.RunTrain(ctx, o)
	}
	return bench.Run(ctx, o)
}
