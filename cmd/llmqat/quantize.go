package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/ptq"
)

type quantizeCmd struct {
	Model string `help:"Hugging Face directory (config.json, *.safetensors), GGUF file, llama2.c file, or .qat file of floats (made with --bits 16-16-16)." required:"" type:"path" placeholder:"PATH"`
	formatFlags
	Tokenizer string `help:"tokenizer.model, tokenizer.json or llama2.c's tokenizer.bin; unset: the model's own." type:"path" placeholder:"FILE"`
	Out       string `help:"File to write." required:"" type:"path" placeholder:"FILE"`

	Method      string  `help:"How weights are chosen: some of ${methods}, joined by +." default:"rtn" placeholder:"METHOD+..."`
	SmoothAlpha float64 `help:"SmoothQuant's α: how much of what is hard to round moves from activations into weights, 0 to 1. 0: searched for each group of layers." default:"0" placeholder:"ALPHA"`
	calibrationFlags
	Threads int `help:"Threads that compute, up to 1024; 0: one a core. No result depends on it." default:"0" placeholder:"N"`
}

func (quantizeCmd) Help() string {
	return `rtn rounds every weight row to nearest with one MinMax scale. That needs no data and takes seconds
to minutes, and memory stays small whatever the model's size. The others lose less, and hold the
model in memory, 4 bytes a parameter (docs/quantize.md). All are free of training; a model trained by
llmqat-train keeps more of its quality at 4-8-4.

  clip              searches each row's scale: what changes its weights the least
  smoothquant       moves outliers of activations into weights
  gptq              rounds weights column by column, and lets those to come make up for errors;
                    act-order is that with the columns that matter most first
  awq               scales the channels that matter most, and searches scales by layers' outputs
  hadamard          rotates the residual stream and values, so that no channel is an outlier
  smooth-attention  evens out keys' channels, for the KV cache's sake
  qoq               QServe's: rotated residual stream, smoothed keys and outputs, searched scales

What looks at activations (all but rtn, clip and hadamard) reads --calibrate: shards of llmqat-train
generate or a text file. Unset, the model makes up a text itself. --out is replaced once the new file
is whole.

  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --out tinyllama.qat
  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --method clip+gptq --out gptq.qat
  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --method qoq+gptq --calibrate data/ --out qoq.qat
  llmqat quantize --model model.gguf --bits 8-8-8 --out m8.qat
  llmqat quantize --model stories15M.bin --tokenizer tokenizer.bin --bits 16-16-16 --out s.qat
  llmqat quantize --model TinyLlama-1.1B/ --bits 4-8-4 --kv-scheme token --lm-head-bits 16 --out paper.qat`
}

func (c *quantizeCmd) Run(ctx context.Context) (err error) {
	o, err := c.options()
	if err != nil {
		return err
	}
	recipe, err := c.recipe(o.Bits)
	if err != nil {
		return err
	}
	dev, err := cpu.New(c.Threads, "")
	if err != nil {
		return fmt.Errorf("--threads: %w", err)
	}
	defer dev.Close()
	runtime.GOMAXPROCS(dev.Workers()) // what computes beside the device takes as many
	src, err := source.Open(c.Model, c.Tokenizer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if src.Tokenizer() == nil {
		fmt.Fprintf(os.Stderr, "%s has no tokenizer: the file will run only where text is not asked for; give one by --tokenizer\n", c.Model)
	}
	o.Source = filepath.Base(c.Model)
	if err := convert.Check(src, c.Out); err != nil {
		return err
	}
	var from format.Source = src
	if recipe != (ptq.Recipe{}) {
		recipe.Seed = c.Seed
		if from, err = c.apply(ctx, recipe, dev, src, &o); err != nil {
			return err
		}
	}
	var end func()
	o.Progress, end = progress.Bar(os.Stderr, "quantize")
	err = convert.Quantize(ctx, from, c.Out, o)
	end()
	if err != nil {
		return err
	}
	return wrote(c.Out)
}

// recipe is what the flags say of methods, refused where it makes no sense for weights of these bits or leaves flags
// without a use.
func (c *quantizeCmd) recipe(bits quant.Bits) (ptq.Recipe, error) {
	r, err := ptq.Parse(c.Method)
	if err != nil {
		return r, fmt.Errorf("--method: %w", err)
	}
	if c.SmoothAlpha != 0 && !r.SmoothQuant {
		return r, fmt.Errorf("--smooth-alpha %v: that is smoothquant's, which is not in --method %s", c.SmoothAlpha, c.Method)
	}
	if flag := c.given(); flag != "" && !r.NeedsTokens() {
		return r, fmt.Errorf("%s: --method %s looks at no text: leave it out, or name a method that does, clip+gptq say", flag, c.Method)
	}
	r.SmoothAlpha = c.SmoothAlpha
	if err := r.Check(bits); err != nil {
		return r, fmt.Errorf("--method %s: %w", c.Method, err)
	}
	return r, nil
}

// apply reads all of src and applies the recipe to it. What was done goes into o.
func (c *quantizeCmd) apply(ctx context.Context, recipe ptq.Recipe, dev *cpu.Device, src format.FileSource, o *convert.Options) (format.Source, error) {
	o.Seed, o.Trained = c.Seed, convert.Trained{Method: c.Method, Notes: map[string]string{}}
	q, err := o.Quantization(ctx, src)
	if err != nil {
		return nil, err
	}
	o.Float = q.Float
	calibration := &ptq.Calibration{Device: dev}
	if recipe.NeedsTokens() {
		text, err := c.text(ctx, src, c.Model, c.Tokenizer, dev)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(os.Stderr, "calibration:", text.is)
		calibration.Tokens = text.windows
		o.Trained.Notes["calibration"] = text.is
	}
	if o.Trained.SourceHash, err = progress.Hash(ctx, os.Stderr, c.Model, src); err != nil {
		return nil, err
	}
	m, err := ptq.Load(src)
	if err != nil {
		return nil, err
	}
	tell, end := progress.Line(os.Stderr, 10*time.Second)
	defer end()
	start := time.Now()
	calibration.Progress = func(name string, layer, layers int) {
		tell(layerProgress(name, layer, layers, time.Since(start)))
		if layer == layers {
			start = time.Now() // of the next method
		}
	}
	steps, err := recipe.Apply(ctx, m, calibration, q)
	if err != nil {
		return nil, fmt.Errorf("--method %s: %w", c.Method, err)
	}
	o.Trained.Scales, o.Trained.Notes["methods"] = steps.Of, strings.Join(m.Applied(), ", ")
	return m, nil
}

// layerProgress says how far a method is that goes through a model's layers.
func layerProgress(method string, layer, layers int, took time.Duration) string {
	left := time.Duration(float64(took) / float64(layer) * float64(layers-layer))
	return fmt.Sprintf("%s: layer %d of %d, %v left", method, layer, layers, left.Round(time.Second))
}
