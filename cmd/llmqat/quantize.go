package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
)

type quantizeCmd struct {
	Model string `help:"Hugging Face directory (config.json, *.safetensors), GGUF file or llama2.c file." required:"" type:"path" placeholder:"PATH"`
	formatFlags
	Tokenizer string `help:"tokenizer.model, tokenizer.json or llama2.c's tokenizer.bin; unset: the model's own." type:"path" placeholder:"FILE"`
	Out       string `help:"File to write." required:"" type:"path" placeholder:"FILE"`
}

func (quantizeCmd) Help() string {
	return `Every weight row is rounded to nearest with one MinMax scale. That needs no data and takes
seconds to minutes; a model trained by llmqat-train keeps more of its quality at 4-8-4. Memory
stays small whatever the model's size. --out is replaced once the new file is whole.

  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --out tinyllama.qat
  llmqat quantize --model model.gguf --bits 8-8-8 --out m8.qat
  llmqat quantize --model stories15M.bin --tokenizer tokenizer.bin --bits 16-16-16 --out s.qat
  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --kv-scheme token --lm-head-bits 16 --out paper.qat`
}

func (c *quantizeCmd) Run(ctx context.Context) (err error) {
	o, err := c.options()
	if err != nil {
		return err
	}
	src, err := source.Open(c.Model, c.Tokenizer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if src.Tokenizer() == nil {
		fmt.Fprintf(os.Stderr, "%s has no tokenizer: the file will run only where text is not asked for; give one by --tokenizer\n", c.Model)
	}
	var end func()
	o.Progress, end = progress.Bar(os.Stderr, "quantize")
	o.Source = filepath.Base(c.Model)
	err = convert.Quantize(ctx, src, c.Out, o)
	end()
	if err != nil {
		return err
	}
	return wrote(c.Out)
}
