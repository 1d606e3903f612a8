package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/generate"
)

type generateCmd struct {
	Model     string `help:"The teacher: Hugging Face directory, GGUF or llama2.c file, or a .qat file of 16-16-16." xor:"model" required:"" type:"path" placeholder:"PATH"`
	Shape     string `help:"With --dry-run, instead of --model: a model that is not here, by its name or config.json (${shapes})." xor:"model" required:"" placeholder:"NAME"`
	Tokenizer string `help:"tokenizer.model, tokenizer.json or llama2.c's tokenizer.bin; unset: the model's own." type:"path" placeholder:"FILE"`
	Out       string `help:"Directory for the shards." type:"path" placeholder:"DIR"`
	Shard     shard  `help:"Make shard i of n, i from 0 to n-1." default:"0/1" placeholder:"I/N"`

	Samples   int64  `help:"Samples of all shards. 0: one for each start token and each of --greedy; of a text, all." default:"0" placeholder:"N"`
	MaxTokens int    `help:"Tokens of a sample. 0: 2048, or the model's context where that is less." default:"0" placeholder:"N"`
	BOS       *bool  `name:"bos" help:"Begin samples with BOS. Unset: as the tokenizer says." negatable:""`
	Text      string `help:"Cut this text into samples, instead of drawing them." type:"path" placeholder:"FILE"`

	FromBOS     bool    `name:"from-bos" help:"Begin samples with BOS alone, without a start token: what the teacher says of itself, to evaluate on."`
	Greedy      []int   `help:"Tokens after the start token that are the likeliest, in turn; 0 draws all." default:"2,3,4" placeholder:"N,..."`
	Temperature float64 `help:"Of the tokens after those." default:"1"`
	TopK        int     `name:"top-k" help:"Draw among the k likeliest; 0: all." default:"50"`
	Seed        uint64  `help:"The same seed gives the same samples." default:"1"`

	Batch   int    `help:"Samples drawn together." default:"16"`
	Threads int    `help:"Threads that compute. 0: one a core." default:"0"`
	Device  string `help:"What computes: cpu, cuda (the first GPU), cuda:N, or auto: the first GPU where one runs, else the CPU." default:"auto"`
	Cache   string `help:"Directory for the teacher as a .qat file, which is made of other files and kept. Unset: --out." type:"path" placeholder:"DIR"`

	DryRun bool `help:"Say what the samples take in memory and time, and end."`
	planFlags
}

func (generateCmd) Help() string {
	return `Each sample begins with another token of the vocabulary; the likeliest 2, 3 or 4 follow, then
tokens drawn from the teacher's own distribution, up to --max-tokens or the end of the text. Ended
at any moment, by whatever, the same command goes on where it was, and gives the same file in the end.

  llmqat-train generate --model TinyLlama-1.1B/ --out data/ --samples 96000
  llmqat-train generate --model TinyLlama-1.1B/ --out data/ --samples 96000 --shard 0/8
  llmqat-train generate --model TinyLlama-1.1B/ --samples 96000 --dry-run             # memory and time
  llmqat-train generate --shape llama-7b --samples 96000 --batch 64 --dry-run         # of a model that is not here
  llmqat-train generate --model TinyLlama-1.1B/ --out wiki/ --text wiki.txt --max-tokens 512`
}

// shard is "i/n".
type shard struct{ i, n int }

func (s *shard) UnmarshalText(b []byte) error {
	var rest string
	if n, _ := fmt.Sscanf(string(b)+" .", "%d/%d %s", &s.i, &s.n, &rest); n != 3 || rest != "." || s.i < 0 || s.i >= s.n {
		return fmt.Errorf("%q: want I/N with I from 0 to N-1, as 0/8 to 7/8", b)
	}
	return nil
}

func (c *generateCmd) Run(ctx context.Context) (err error) {
	if c.Batch < 1 || c.Batch > generate.MaxBatch {
		return fmt.Errorf("--batch %d: want 1 to %d samples drawn together", c.Batch, generate.MaxBatch)
	}
	switch {
	case c.Shape != "" && !c.DryRun:
		return errors.New("--shape says nothing of a model's weights: name them by --model, or give --dry-run")
	case c.Text != "" && c.DryRun:
		return errors.New("--dry-run: cutting a text takes no model and seconds: leave it out")
	case c.Out == "" && !c.DryRun:
		return errors.New("--out: name a directory for the shards")
	}
	t, err := c.teacher(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	o := generate.Options{
		Shard: c.Shard.i, Shards: c.Shard.n, Samples: c.Samples, MaxTokens: c.MaxTokens, BOS: c.BOS,
		FromBOS: c.FromBOS, Greedy: c.Greedy, Temperature: c.Temperature, TopK: c.TopK, Seed: c.Seed,
	}
	if c.Text != "" {
		x, err := generate.ReadText(t, c.Text, o)
		if err != nil {
			return err
		}
		return c.write(x.Header, func(w *tokens.Writer) error { return x.Run(ctx, w) })
	}
	p, err := generate.NewPlan(t, o)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.foresee(ctx, os.Stdout, t, p)
	}
	return c.write(p.Header, func(w *tokens.Writer) error { return c.draw(ctx, t, p, w) })
}

// teacher opens --model, or is of --shape.
func (c *generateCmd) teacher(ctx context.Context) (*generate.Teacher, error) {
	if c.Shape != "" {
		m, err := source.Shape(c.Shape)
		if err != nil {
			return nil, fmt.Errorf("--shape: %w", err)
		}
		return &generate.Teacher{Name: c.Shape, Config: &m}, nil
	}
	step, end := progress.Bar(os.Stderr, "reading "+filepath.Base(c.Model))
	defer end()
	return generate.OpenTeacher(ctx, c.Model, c.Tokenizer, step)
}

// write has fill write what the shard of h lacks.
func (c *generateCmd) write(h tokens.Header, fill func(w *tokens.Writer) error) (err error) {
	if err := os.MkdirAll(c.Out, 0o777); err != nil {
		return err
	}
	w, err := tokens.Append(filepath.Join(c.Out, tokens.ShardName(h.Shard, h.Shards)), h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	from, end := h.Range()
	first, _ := w.Next()
	switch {
	case first == end:
		fmt.Fprintf(os.Stderr, "%s is complete, with %d samples: nothing to do\n", w.Path(), end-from)
		return nil
	case first > from:
		fmt.Fprintf(os.Stderr, "%s has %d of %d samples: going on\n", w.Path(), first-from, end-from)
	}
	err = fill(w)
	next, _ := w.Next()
	fmt.Fprintf(os.Stderr, "%s: %d samples written, %d of %d are there\n", w.Path(), next-first, next-from, end-from)
	return err
}

// draw runs the teacher for the samples that w lacks.
func (c *generateCmd) draw(ctx context.Context, t *generate.Teacher, p *generate.Plan, w *tokens.Writer) (err error) {
	dir := cmp.Or(c.Cache, c.Out)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	step, end := progress.Bar(os.Stderr, "converting "+t.Name)
	f, err := t.Float(ctx, dir, convert.Options{CreatedBy: "llmqat-train " + version, Progress: step}, func(path string) {
		fmt.Fprintf(os.Stderr, "waiting for another process, which makes %s\n", path)
	})
	end()
	if err != nil {
		return err
	}
	dev, err := device.Open(c.Device, c.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	step, end = progress.Bar(os.Stderr, "copying weights to "+dev.Device.Name())
	e, err := p.Engine(f, dev, c.Batch, step)
	end()
	if errors.Is(err, engine.ErrMemory) {
		return fmt.Errorf("--batch %d: %w", c.Batch, err)
	} else if err != nil {
		return err
	}
	defer e.Close()
	info := e.Info()
	fmt.Fprintf(os.Stderr, "%s: %.4g million parameters on %v, %d threads, %d samples together\n",
		t.Name, float64(info.Parameters)/1e6, dev, dev.Threads, info.MaxSeqs)
	tell, end := progress.Line(os.Stderr, 30*time.Second)
	start, first := time.Now(), int64(-1)
	var last generate.Progress
	err = p.Run(ctx, e, w, func(x generate.Progress) {
		if last = x; first < 0 {
			first = x.Done
		}
		tell(rate(x, x.Done-first, time.Since(start)))
	})
	end()
	d := time.Since(start)
	fmt.Fprintf(os.Stderr, "%d tokens in %v, %.0f a second\n", last.Tokens, d.Round(time.Millisecond), float64(last.Tokens)/d.Seconds())
	return err
}

// rate says how far a shard is, which has got so many samples in the time since start.
func rate(x generate.Progress, got int64, d time.Duration) string {
	s := fmt.Sprintf("%d of %d samples, %.0f tokens/s", x.Done, x.Total, float64(x.Tokens)/d.Seconds())
	if got > 0 {
		left := time.Duration(float64(d) / float64(got) * float64(x.Total-x.Done))
		s += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return s
}
