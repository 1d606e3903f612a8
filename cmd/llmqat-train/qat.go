package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/format/topk"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train"
	"github.com/llmqat/llmqat/train/ptq"
)

type qatCmd struct {
	Teacher   string   `help:"The float model: Hugging Face directory, GGUF or llama2.c file." xor:"teacher" required:"" type:"path" placeholder:"PATH"`
	Shape     string   `help:"With --dry-run, instead of --teacher and --data: a model that is not here, by its name or config.json (${shapes})." xor:"teacher" required:"" placeholder:"NAME"`
	Tokenizer string   `help:"tokenizer.model, tokenizer.json or llama2.c's tokenizer.bin; unset: the teacher's own." type:"path" placeholder:"FILE"`
	Data      []string `help:"Shards that llmqat-train generate made, or directories of them." type:"path" placeholder:"PATH,..."`
	Held      []string `help:"Shards to evaluate on. Unset: some windows of --data, which are then not trained on." type:"path" placeholder:"PATH,..."`
	Logits    string   `help:"What llmqat-train teach wrote of this teacher and these data: the student learns from that, and the teacher is loaded for evaluations alone." type:"path" placeholder:"FILE"`
	Out       string   `help:"Directory for the run: log, checkpoints and student.qat." type:"path" placeholder:"DIR"`
	Resume    bool     `help:"Go on with the run in --out, as if it had never stopped."`

	Bits       string `help:"The student's setting W-A-KV." default:"4-8-4"`
	KVScheme   string `name:"kv-scheme" help:"head-zp, head or token (the paper's). Unset: head-zp, or token with --compat." default:""`
	LMHeadBits int    `name:"lm-head-bits" help:"8 or 16. 0: 8, or 16 where W is 16 and with --compat." default:"0"`
	Float      string `help:"Type of float weights in student.qat, which it is trained with, too: f32, f16 or bf16. Unset: f16, or bf16 where the teacher needs that, and where weights have 16 bits the teacher's own." default:""`

	Start string `help:"Training-free methods that the student begins with, joined by +: ${methods}." default:"" placeholder:"METHOD+..."`

	Steps       int     `help:"Steps of --batch windows." default:"600"`
	Length      int     `help:"Tokens of a window. 0: 2048, or the model's context where that is less." default:"0"`
	Batch       int     `help:"Windows of a step. 0: as many as have 2048 tokens where all have --length." default:"0"`
	Pass        int     `help:"Windows that go through the model at a time: fewer need less memory. 0: all of a step." default:"0"`
	LR          float64 `name:"lr" help:"Learning rate, which falls to 0 by a cosine. 0: by the size of the model's weights and its hidden size." default:"0"`
	Warmup      int     `help:"Steps of its linear warm-up." default:"0"`
	Clip        float64 `help:"The gradient is shortened to this length; 0: never." default:"1"`
	WeightDecay float64 `help:"AdamW's." default:"0"`
	Soft        float64 `help:"Part of the loss that is KL to the teacher; the rest is the data's own tokens." default:"1"`
	LSQ         *bool   `name:"lsq" help:"Learn the weights' scales, too (LSQ). Unset: yes, but not with --compat." negatable:""`
	StepsRate   float64 `name:"steps-rate" help:"Their learning rate, as a part of --lr." default:"0.1"`
	Gate        float64 `help:"No gradient passes to a weight, an input of a linear layer or a K or V that is rounded where it is this or more from 0: LLM-QAT's released code has 2. It stops those of outliers too, which real models need. 0: all pass, or 2 with --compat." default:"0"`
	Compat      bool    `help:"Train by the formulas of LLM-QAT's released code, to compare with: its rounding and its loss, --kv-scheme token, --gate 2, --clip 1, --no-lsq, lm_head in floats; flags that say otherwise are refused. In float32, where that code has bfloat16. What comes of it is served by llmqat's own rounding (docs/training.md)."`
	Recompute   bool    `help:"Compute layers twice instead of keeping what their gradients need: less memory, a quarter more time."`
	Seed        uint64  `help:"Of the windows' order, of --start hadamard and of samples.md." default:"1"`

	AttentionLoss float64 `name:"attention-loss" help:"Weight in the loss, beside what --soft divides, of the KL from the teacher's attention to the student's, the mean of heads and tokens, summed over layers. 0.3 is one to try, though the paper did better without. Keeps the teacher's q and k in memory." default:"0"`
	HiddenLoss    float64 `name:"hidden-loss" help:"The same of the hidden states behind each layer: the square of what they are off by, as a part of the teacher's square. Not with --start hadamard, which rotates them." default:"0"`

	EvalEvery   int `help:"Steps between evaluations: student, as it is trained and as it is served, beside its teacher. 0: at the end alone." default:"100"`
	EvalWindows int `help:"Windows of the held-out text that these take; result.json has all. 0: as many as have 32,768 tokens." default:"0"`
	SaveEvery   int `help:"Steps between checkpoints. 0: at the end alone." default:"100"`
	Keep        int `help:"Checkpoints kept beside the best." default:"2"`

	Threads int  `help:"Threads that compute; the numbers do not depend on it. 0: one a core." default:"0"`
	DryRun  bool `help:"Say what the run takes in memory and time, and end."`
	planFlags
	GradCheck bool `help:"Compare gradients with differences of the loss, on the teacher itself, and end."`
	Overfit   bool `help:"Train on one step's windows again and again: their KL must go to almost 0, or something is wrong."`
}

func (qatCmd) Help() string {
	return `The student begins as a copy of the teacher and is trained, with weights, activations and KV
cache rounded as they will be served, to give the teacher's distribution of the next token
(LLM-QAT, arXiv:2305.17888). It ends as student.qat, ready for llmqat-serve.

  llmqat-train generate --model TinyLlama-1.1B/ --out data/
  llmqat-train qat --teacher TinyLlama-1.1B/ --data data/ --dry-run
  llmqat-train qat --shape llama-7b --steps 12000 --batch 8 --pass 1 --dry-run    # a model that is not here
  llmqat-train qat --teacher TinyLlama-1.1B/ --data data/ --out run/
  llmqat-serve --model run/student.qat

Stopped by a signal, a run saves its state; killed, it has its last checkpoint. The same command
with --resume goes on, with the same numbers as a run that never stopped.`
}

func (c *qatCmd) Run(ctx context.Context) (err error) {
	if c.Shape != "" {
		return c.foresee(ctx)
	}
	switch {
	case len(c.Data) == 0:
		return errors.New("--data: name what the student is trained on: shards of llmqat-train generate")
	case c.Out == "" && !c.DryRun && !c.GradCheck:
		return errors.New("--out: name a directory for the run")
	}
	src, err := source.Open(c.Teacher, c.Tokenizer)
	if err != nil {
		return err
	}
	defer src.Close()
	config, err := c.config(ctx, src.Config(), src)
	if err != nil {
		return err
	}
	hash, err := progress.Hash(ctx, os.Stderr, c.Teacher, src)
	if err != nil {
		return err
	}
	config.Teacher = hash
	all, data, held, err := c.data(config, src.Config().VocabSize, hash, os.Stderr)
	if err != nil {
		return err
	}
	var stored *topk.File
	if c.Logits != "" {
		if stored, err = c.logits(ctx, config, src.Config().VocabSize, all); err != nil {
			return err
		}
		defer stored.Close()
		config.Logits, config.TopK = stored.Sum(), stored.Header().K
		if config, err = config.Resolve(src.Config()); err != nil {
			return err
		}
	}
	if c.Overfit {
		data, held = overfit(data, config)
	}
	config.EvalWindows = c.evalWindows(held)
	dev, err := cpu.New(c.Threads, "")
	if err != nil {
		return err
	}
	defer dev.Close()
	plan, err := train.PlanOf(config, src.Config(), data.Tokens(), data.Longest())
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.describe(os.Stdout, &plan, config, data.Len(), data.Tokens(), held.Len(), dev)
	}
	if c.GradCheck {
		return checkGradients(os.Stdout, src, data, config, dev)
	}
	tell, end := progress.Line(os.Stderr, 30*time.Second)
	defer end()
	notes := map[string]string{}
	if config.Compat {
		notes["compat"] = "trained by the rounding and loss of LLM-QAT's released code, in float32"
	}
	var begin func() (format.Source, func(string) []float32, error)
	if c.Start != "" {
		begin = func() (format.Source, func(string) []float32, error) {
			return c.begin(ctx, src, data, config, dev, notes, tell)
		}
	}
	o := c.options(src, config, dev, notes)
	o.Data, o.Held, o.Logits, o.Start = data, held, stored, begin
	o.Log = func(l train.Line) {
		if l.Held {
			end() // of the line that is drawn anew
		}
		c.log(tell, l, config.Steps)
	}
	o.Finish = func(ctx context.Context, s train.Summary) error {
		end()
		fmt.Fprintf(os.Stderr, "wrote %s\n", filepath.Join(c.Out, "student.qat"))
		return c.result(ctx, dev, src, config, held, s.Served)
	}
	return train.Run(ctx, dev, config, o)
}

// again says how to go on with what was interrupted: a run that has begun by --resume.
func (c *qatCmd) again() string {
	if _, err := train.LoadConfig(filepath.Join(c.Out, "config.json")); errors.Is(err, os.ErrNotExist) {
		return "run the same again"
	}
	return "run the same with --resume"
}

// calibration is how many windows of the data the methods of --start look at.
const calibration = 128

// begin is the model that the student begins as where --start makes it another than the
// teacher, with its weights' steps; what was done is noted.
func (c *qatCmd) begin(ctx context.Context, src format.Source, d *train.Data, config train.Config, dev *cpu.Device, notes map[string]string, tell func(string)) (format.Source, func(string) []float32, error) {
	recipe, err := ptq.Parse(c.Start)
	if err != nil {
		return nil, nil, err
	}
	m, err := ptq.Load(src)
	if err != nil {
		return nil, nil, err
	}
	calib := &ptq.Calibration{Device: dev, Progress: func(method string, layer, layers int) {
		tell(fmt.Sprintf("%s: layer %d of %d", method, layer, layers))
	}}
	for i := range min(calibration, d.Len()) {
		calib.Tokens = append(calib.Tokens, d.Window(i))
	}
	recipe.Seed = c.Seed
	steps, err := recipe.Apply(ctx, m, calib, config.Quantization)
	notes["start"] = strings.Join(m.Applied(), ", ")
	return m, steps.Of, err
}

// config is what the flags say of the run's numbers, for a model of shape m. src is asked where they leave
// something to its weights: the type of floats and the learning rate.
func (c *qatCmd) config(ctx context.Context, m *format.Config, src format.Source) (train.Config, error) {
	for _, f := range []struct { // of which train.Config.Resolve would take 0 for unset
		name, instead string
		v             float64
	}{{"--steps", "", float64(c.Steps)}, {"--keep", "", float64(c.Keep)}, {"--steps-rate", ": --no-lsq learns no scales", c.StepsRate}} {
		if f.v == 0 {
			return train.Config{}, fmt.Errorf("%s is 0, want more%s", f.name, f.instead)
		}
	}
	bits, err := quant.ParseBits(c.Bits)
	if err != nil {
		return train.Config{}, err
	}
	scheme, lsq := quant.KVHeadZP, !c.Compat && bits.W < 16
	if c.Compat {
		scheme = quant.KVToken
	}
	if c.KVScheme != "" {
		if scheme, err = quant.ParseKVScheme(c.KVScheme); err != nil {
			return train.Config{}, err
		}
	}
	if c.LSQ != nil {
		lsq = *c.LSQ
	}
	float, err := convert.ParseFloat(c.Float)
	if err != nil {
		return train.Config{}, err
	}
	head := c.LMHeadBits
	if head == 0 {
		head = 8
		if bits.W == 16 || c.Compat {
			head = 16
		}
	}
	q := qat.Quantization{Bits: bits, KVScheme: scheme, LMHeadBits: head, Float: float, Method: "qat"}
	if q.Float == "" {
		if q.Float, err = convert.ChooseFloat(ctx, src, q); err != nil {
			return train.Config{}, err
		}
	}
	rate := c.LR
	if rate == 0 {
		if rate, err = train.DefaultLearningRate(src); err != nil {
			return train.Config{}, err
		}
	}
	return train.Config{
		Quantization: q,
		Start:        c.Start, Length: c.Length, Batch: c.Batch, Pass: c.Pass, Steps: c.Steps,
		LearningRate: rate, Warmup: c.Warmup, WeightDecay: c.WeightDecay, Clip: c.Clip,
		Soft: c.Soft, LearnSteps: lsq, StepsRate: c.StepsRate, Gate: c.Gate, Compat: c.Compat, Recompute: c.Recompute,
		AttentionLoss: c.AttentionLoss, HiddenLoss: c.HiddenLoss,
		Seed: c.Seed, EvalEvery: c.EvalEvery, EvalWindows: c.EvalWindows, SaveEvery: c.SaveEvery, Keep: c.Keep,
	}.Resolve(m)
}

// log tells of a step in a line that the next one replaces, and of an evaluation in
// one that stays.
func (c *qatCmd) log(tell func(string), l train.Line, steps int) {
	if l.Held {
		fmt.Fprintf(os.Stderr, "step %d, held-out text: KL %.4f nats a token, perplexity %.4g (teacher %.4g), same likeliest token %.1f %%\n",
			l.Step, l.KL, l.Perplexity, l.TeacherPPL, 100*l.Agreement)
		for _, x := range []struct {
			name string
			s    *train.Served
		}{{"as it is served", l.Served}, {"rounded to nearest", l.RTN}} {
			if x.s == nil {
				continue
			}
			fmt.Fprintf(os.Stderr, "  %-18s KL %.4f, perplexity %.4g, same likeliest token %.1f %%, logits %s", x.name, x.s.KL, x.s.Perplexity, 100*x.s.Agreement, x.s.Logits)
			if a := x.s.Apart; a != nil && !a.Exact() {
				fmt.Fprintf(os.Stderr, "; %v", a)
			}
			fmt.Fprintln(os.Stderr)
		}
		return
	}
	beside := ""
	if l.Attention > 0 {
		beside += fmt.Sprintf(", of attention %.4f", l.Attention)
	}
	if l.Hidden > 0 {
		beside += fmt.Sprintf(", hidden states off by %.4f", l.Hidden)
	}
	tell(fmt.Sprintf("step %d of %d: KL %.4f%s, gradient %.3g, learning rate %.2g, %.0f tokens/s, %v left",
		l.Step, steps, l.KL, beside, l.GradNorm, l.LearningRate, l.TokensPerSecond, time.Duration(l.ETA*float64(time.Second)).Round(time.Second)))
}

// overfit leaves the windows of one step, to train and to evaluate on.
func overfit(d *train.Data, c train.Config) (data, held *train.Data) {
	first, _, _ := d.Split(min(c.Batch, d.Len()))
	return first, first
}

// gradTolerance is what rounding and curvature of the loss leave of a right gradient.
const gradTolerance = 0.05

// checkGradients prints a line a parameter, and fails where a gradient is not its
// loss's slope.
func checkGradients(w io.Writer, src format.Source, d *train.Data, c train.Config, dev *cpu.Device) error {
	list, err := train.GradCheck(dev, src, d, c)
	if err != nil {
		return err
	}
	wrong := 0
	for _, g := range list {
		var names []string
		for _, t := range g.Param.Tensors {
			names = append(names, t.Name)
		}
		verdict := "ok"
		if !(math.Abs(g.Ratio-1) < gradTolerance) {
			verdict = "WRONG"
			wrong++
		}
		if _, err := fmt.Fprintf(w, "%-5s %.4f  %s\n", verdict, g.Ratio, strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d gradients are not the slope of their loss", wrong, len(list))
	}
	return nil
}
