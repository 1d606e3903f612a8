package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

type runCmd struct {
	Model  string `help:"The .qat file." required:"" type:"path" placeholder:"FILE"`
	Prompt string `arg:"" optional:"" help:"Text to be continued; - reads it from standard input. Without one the model begins by itself."`

	MaxTokens   int     `help:"Tokens to generate at most." default:"256"`
	Temperature float64 `help:"0 takes the likeliest token each time; 1 draws as the model would." default:"0"`
	TopK        int     `name:"top-k" help:"Draw among the k likeliest; 0: all." default:"0"`
	TopP        float64 `name:"top-p" help:"Draw among the likeliest that together weigh p; 1: all." default:"1"`
	MinP        float64 `name:"min-p" help:"Draw among those at least p times as likely as the likeliest; 0: all." default:"0"`
	Seed        *uint64 `help:"The same seed gives the same text, on every CPU. Unset: another one each time." placeholder:"N"`
	IgnoreEOS   bool    `name:"ignore-eos" help:"Go on where the model would end."`
	Echo        bool    `help:"Print the prompt before its continuation." default:"true" negatable:""`
	Ctx         int     `help:"Context in tokens; 0: the model's." default:"0" placeholder:"N"`
	Device      string  `help:"What computes: cpu, cuda (the first GPU), cuda:N, or auto: the first GPU where one runs, else the CPU." default:"auto"`
	Threads     int     `help:"Threads; 0: one a core." default:"0" placeholder:"N"`
}

func (runCmd) Help() string {
	return `The text goes to standard output as it is made, all else to standard error. Text is drawn
only where --temperature is given: else the same prompt gives the same text.

  llmqat run --model m.qat "Once upon a time"
  llmqat run --model m.qat --temperature 0.8 --top-p 0.9 --seed 7 "Once upon a time"
  llmqat run --model m.qat - < prompt.txt > text.txt`
}

func (c *runCmd) Run(ctx context.Context) error {
	return c.run(ctx, os.Stdin, os.Stdout, os.Stderr)
}

// maxPrompt bounds what is read from standard input, bytes.
const maxPrompt = 64 << 20

func (c *runCmd) run(ctx context.Context, in io.Reader, out, log io.Writer) error {
	start := time.Now()
	f, err := qat.Open(c.Model)
	if err != nil {
		return err
	}
	defer f.Close()
	tok := f.Header().Tokenizer
	if tok == nil {
		return fmt.Errorf("%s: no tokenizer inside: make it again by llmqat quantize --tokenizer FILE", c.Model)
	}
	dev, err := device.Open(c.Device, c.Threads)
	if err != nil {
		return err
	}
	defer dev.Close()
	copied, end := progress.Bar(log, "copying weights to "+dev.Device.Name())
	e, err := engine.New(f, engine.Options{Device: dev.Device, Threads: dev.Threads, MaxContext: c.Ctx, MaxSeqs: 1, Progress: copied})
	if end(); err != nil {
		return err
	}
	defer e.Close()
	info := e.Info()
	fmt.Fprintf(log, "%s: %.4g million parameters, %v, on %v, with %d threads, context %d; weights %s, KV cache %s, scratch %s; loaded in %v\n",
		c.Model, float64(info.Parameters)/1e6, info.Bits, dev, dev.Threads, info.MaxContext,
		engine.Size(info.WeightBytes), engine.Size(info.KVBytes), engine.Size(info.ScratchBytes), time.Since(start).Round(time.Microsecond))

	r, err := c.request(in, log, tok, info.MaxContext)
	if err != nil {
		return err
	}
	return c.stream(ctx, e, r, tok, out, log)
}

// request tokenizes the prompt and fills in what flags leave open.
func (c *runCmd) request(in io.Reader, log io.Writer, tok *tokenizer.Tokenizer, maxContext int) (engine.Request, error) {
	text := c.Prompt
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(in, maxPrompt+1))
		if err != nil {
			return engine.Request{}, fmt.Errorf("prompt from standard input: %w", err)
		}
		if len(b) > maxPrompt {
			return engine.Request{}, fmt.Errorf("prompt from standard input: more than %d bytes", maxPrompt)
		}
		text = strings.TrimSuffix(string(b), "\n")
	}
	r := engine.Request{MaxTokens: c.MaxTokens, Logprobs: -1, IgnoreEOS: c.IgnoreEOS,
		Sampling: sample.Params{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP}}
	if tok.BOS() >= 0 && (tok.AddBOS() || text == "") {
		r.IDs = append(r.IDs, tok.BOS())
	}
	r.IDs = append(r.IDs, tok.Encode(text)...)
	if len(r.IDs) == 0 {
		return r, errors.New("no prompt, and this model has no token to begin with: give it some text")
	}
	if left := maxContext - len(r.IDs); left > 0 && r.MaxTokens > left {
		fmt.Fprintf(log, "the context of %d tokens leaves room for %d\n", maxContext, left)
		r.MaxTokens = left
	}
	if c.Temperature > 0 {
		if r.Sampling.Seed = rand.Uint64() >> 32; c.Seed != nil {
			r.Sampling.Seed = *c.Seed
		}
		fmt.Fprintf(log, "seed %d\n", r.Sampling.Seed)
	}
	return r, nil
}

// stream prints the answer to r as it comes, and how fast it came. An interrupt
// ends it early, and is no error.
func (c *runCmd) stream(ctx context.Context, e *engine.Engine, r engine.Request, tok *tokenizer.Tokenizer, out, log io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at := tokenizer.AfterPrompt
	if c.Echo {
		at = tokenizer.AtStart
	}
	decoder := tok.NewDecoder(at)
	var failed error // of out
	print := func(s string) {
		if _, err := io.WriteString(out, s); err != nil && failed == nil {
			failed = err
			cancel() // nobody reads on
		}
	}
	start := time.Now()
	events, err := e.Generate(ctx, r)
	if err != nil {
		return err
	}
	if c.Echo {
		for _, id := range r.IDs {
			print(decoder.Push(id))
		}
	}
	var first, last time.Time
	n := 0
	var done engine.Event
	for ev := range events {
		if ev.Kind == engine.KindDone {
			done = ev
			break
		}
		if last = time.Now(); n == 0 {
			first = last
		}
		n++
		print(decoder.Push(ev.Token.ID))
	}
	print(decoder.Flush() + "\n")

	end := string(done.Reason)
	if done.Err != nil {
		end = done.Err.Error()
	}
	if n > 0 {
		fmt.Fprintf(log, "prompt: %d tokens%s; answer: %d tokens%s; ended by %s\n",
			len(r.IDs), speed(len(r.IDs), first.Sub(start)), n, speed(n-1, last.Sub(first)), end)
	}
	switch {
	case failed != nil:
		return fmt.Errorf("standard output: %w", failed)
	case errors.Is(done.Err, context.Canceled):
		return nil
	}
	return done.Err
}

// speed tells how fast n tokens came in d; nothing where that is too short to tell:
// tokens may wait for their reader.
func speed(n int, d time.Duration) string {
	if d < time.Millisecond {
		return ""
	}
	return fmt.Sprintf(" in %v, %.4g tokens/s", d.Round(time.Microsecond), float64(n)/d.Seconds())
}
