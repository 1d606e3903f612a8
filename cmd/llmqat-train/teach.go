package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/format/topk"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/train"
)

type teachCmd struct {
	Teacher   string   `help:"The float model: Hugging Face directory, GGUF or llama2.c file." required:"" type:"path" placeholder:"PATH"`
	Tokenizer string   `help:"tokenizer.model, tokenizer.json or llama2.c's tokenizer.bin, the one that qat has; unset: the teacher's own." type:"path" placeholder:"FILE"`
	Data      []string `help:"Shards that llmqat-train generate made, or directories of them." required:"" type:"path" placeholder:"PATH,..."`
	Out       string   `help:"File to write." required:"" type:"path" placeholder:"FILE"`
	TopK      int      `name:"top-k" help:"Tokens whose probabilities are kept. Of all others there is only what they have together." default:"64"`
	Length    int      `help:"Tokens of a window, as qat will have it. 0: 2048, or the model's context where that is less." default:"0"`
	Threads   int      `help:"Threads that compute; the file does not depend on it. 0: one a core." default:"0"`
}

func (teachCmd) Help() string {
	return `Writes down what the teacher finds the likeliest after each token of the data, once, for any
number of students that then learn without it: their steps are faster, and it is in memory only
while they are evaluated. A token takes 388 bytes with --top-k 64, and 516 where the vocabulary is
larger than 65,536. Interrupted, it leaves nothing: it is begun anew.

  llmqat-train teach --teacher TinyLlama-1.1B/ --data data/ --out teacher.topk
  llmqat-train qat --teacher TinyLlama-1.1B/ --data data/ --logits teacher.topk --out run/`
}

func (c *teachCmd) Run(ctx context.Context) error {
	src, err := source.Open(c.Teacher, c.Tokenizer)
	if err != nil {
		return err
	}
	defer src.Close()
	length, most := c.Length, src.Config().MaxPositionEmbeddings
	if length == 0 {
		length = train.DefaultLength(src.Config())
	}
	if length < 2 || length > most {
		return fmt.Errorf("--length is %d, want 2 to %d, the teacher's context", length, most)
	}
	hash, err := progress.Hash(ctx, os.Stderr, c.Teacher, src)
	if err != nil {
		return err
	}
	set, err := open("--data", c.Data, src.Config().VocabSize, hash, os.Stderr)
	if err != nil {
		return err
	}
	data, err := windows("--data", set, length)
	if err != nil {
		return err
	}
	dev, err := cpu.New(c.Threads, "")
	if err != nil {
		return err
	}
	defer dev.Close()
	start := time.Now()
	step, end := progress.Bar(os.Stderr, "teach")
	defer end()
	if err := train.StoreLogits(ctx, c.Out, dev, src, hash, data, length, c.TopK, step); err != nil {
		return err
	}
	end()
	fmt.Fprintf(os.Stderr, "wrote %s: %d tokens in %v\n", c.Out, data.Tokens(), time.Since(start).Round(time.Millisecond))
	return nil
}

// logits opens what --logits names, and checks that it is of this run's teacher and data.
func (c *qatCmd) logits(ctx context.Context, config train.Config, vocab int, all *train.Data) (*topk.File, error) {
	step, end := progress.Bar(os.Stderr, "reading "+filepath.Base(c.Logits))
	defer end()
	return train.OpenLogits(ctx, c.Logits, config.Teacher, vocab, all, config.Length, step)
}
