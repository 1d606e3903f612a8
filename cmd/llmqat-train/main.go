// Command llmqat-train makes training data of a float model, without any corpus, and
// of both a quantized student.
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

const about = `Trains LLaMA models to live with 4-bit weights, 8-bit activations and a 4-bit KV cache, as
LLM-QAT does: on text that the model itself makes up.

  llmqat-train generate --model TinyLlama-1.1B/ --out data/
  llmqat-train generate --model TinyLlama-1.1B/ --out data/ --shard 3/8     # one of 8 machines
  llmqat-train merge --out all.jsonl data/
  llmqat-train qat --teacher TinyLlama-1.1B/ --data data/ --out run/
  llmqat-train teach --teacher TinyLlama-1.1B/ --data data/ --out teacher.topk   # for qat --logits
  llmqat-serve --model run/student.qat

llmqat-train COMMAND --help tells more of each. Every flag is also a variable: --out is LLMQAT_TRAIN_OUT.`

type commands struct {
	Generate generateCmd `cmd:"" help:"Make training data: samples drawn from the teacher, or cut from a text."`
	Merge    mergeCmd    `cmd:"" help:"Make one file of all shards."`
	Teach    teachCmd    `cmd:"" help:"Store the teacher's likeliest tokens, so that students learn without it."`
	QAT      qatCmd      `cmd:"" name:"qat" help:"Train a student on such data, to be served at 4-8-4 or another setting."`
	Report   reportCmd   `cmd:"" help:"Compare runs: a table of what each reached, and a picture."`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

// vars are what help says of other packages.
func vars() kong.Vars {
	return kong.Vars{"version": version, "methods": strings.Join(ptq.Methods(), ", "), "shapes": source.Shapes()}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	context.AfterFunc(ctx, stop) // a second interrupt ends at once
	k := kong.Parse(&c, kong.Name("llmqat-train"), kong.Description(about), kong.DefaultEnvars("LLMQAT_TRAIN"),
		vars(), kong.ShortUsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)))
	err := k.Run()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		again := "run the same again"
		if k.Command() == "qat" {
			again = c.QAT.again()
		}
		fmt.Fprintf(os.Stderr, "llmqat-train: interrupted: %s to go on\n", again)
		os.Exit(130) // as a shell has it
	}
	k.FatalIfErrorf(err)
}
