package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/llmqat/llmqat/eval/task"
	"github.com/llmqat/llmqat/runtime/device"
)

type evalCmd struct {
	Model   string `help:"The .qat file. A float model (Hugging Face directory, GGUF or llama2.c file) is taken, too." xor:"model" required:"" type:"path" placeholder:"FILE"`
	Teacher string `help:"What it was made of, to compare with: a float model, or a .qat file." type:"path" placeholder:"PATH"`
	serverFlags

	textFlags
	taskFlags
	foreseeFlags

	JSON    bool   `name:"json" help:"Print JSON."`
	Device  string `help:"What computes: cpu, cuda (the first GPU), cuda:N, or auto: the first GPU where one runs, else the CPU." default:"auto"`
	Threads int    `help:"Threads; 0: one a core. No result depends on it." default:"0" placeholder:"N"`
}

func (evalCmd) Help() string {
	return `Perplexity: the text as a whole is tokenized, with BOS at its start, and cut into windows, each
evaluated alone; what fills no window is left out. 1 would be to know each next token; a random
guess has the size of the vocabulary. Perplexities of other texts, tokenizers or --length do not compare.

With --teacher also how near the model comes to it, token by token, which tells more:
  KL             nats between their distributions of the next token; 0: the same. Mean, what 99 % of
                 the tokens stay below, and the largest
  same first     part of the tokens for which both find the same token likeliest
  RMS of Δp      how far the probability of the text's own next token moves
± is the standard error, by windows.

  llmqat eval --model m.qat --text book.txt
  llmqat eval --model m.qat --teacher TinyLlama-1.1B/ --text wiki.test.raw --wikitext
  llmqat eval --model run/student.qat --teacher TinyLlama-1.1B/ --data held/ --json > result.json
  llmqat eval --model m.qat --text stories.txt --divider "<|endoftext|>"

--tasks asks multiple-choice questions: the choice that the model finds likeliest is its answer.
  lm-eval acc        as lm-evaluation-harness has it: by ln p of the choice
  lm-eval acc_norm   by ln p over the choice's characters
  LLaMA paper's      as acc_norm, but of OpenBookQA and BoolQ by p over what it is after "Answer:" alone
± is the standard error, by items. Compare a model with its own teacher (--teacher: item by item, whose
error is smaller), and figures of one protocol only. A guess gets 50 % (boolq, piqa, winogrande), 33 %
(social_iqa) or 25 %; small models do not do better. The files are not part of llmqat: docs/eval.md says
which names and layouts are read.

  llmqat eval --model m.qat --tasks all --task-data eval/ --limit 100
  llmqat eval --model m.qat --teacher TinyLlama-1.1B/ --tasks all --task-data eval/ --items scores.jsonl
  llmqat eval --model m.qat --tasks mmlu --task-data mmlu/
  llmqat eval --shape llama-7b --tokenizer tokenizer.model --tasks all --task-data eval/ --dry-run    # memory and hours

--url asks another server instead of running a model, so that it is measured by the same code: tasks, and
the perplexity of texts. It has to answer "echo" with "logprobs", and is asked in ids of --tokenizer.

  llmqat eval --url http://localhost:8080/v1 --tokenizer tokenizer.model --tasks all --task-data eval/

A float model becomes a .qat file of 16-16-16 in float32 for the time, in $TMPDIR: 4 bytes a parameter.`
}

func (c *evalCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout, os.Stderr) }

// evalReport is what --json prints.
type evalReport struct {
	Model    string `json:"model"`
	URL      string `json:"url,omitempty"` // of a server, of which no more is known
	Bits     string `json:"bits,omitempty"`
	KVScheme string `json:"kv_scheme,omitempty"`
	KVBytes  int    `json:"kv_bytes_per_token,omitempty"`
	Teacher  string `json:"teacher,omitempty"`
	Device   string `json:"device,omitempty"`
	*textReport
	*task.Report
}

func (c *evalCmd) run(ctx context.Context, out, log io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	sets, err := c.sets()
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.foresee(out, sets)
	}
	var r *evalReport
	if c.URL != "" {
		r, err = c.evalServer(ctx, sets, log)
	} else {
		r, err = c.evalModels(ctx, sets, log)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.print(out)
}

// evalModels runs models itself.
func (c *evalCmd) evalModels(ctx context.Context, sets []*task.Set, log io.Writer) (r *evalReport, err error) {
	student, err := openEval(ctx, c.Model, c.Tokenizer, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, student.close()) }()
	if err := c.sameBits(c.Model, student.Header().Quantization.Bits); err != nil {
		return nil, err
	}
	var teacher *evalModel
	if c.Teacher != "" {
		if teacher, err = openEval(ctx, c.Teacher, c.Tokenizer, log); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, teacher.close()) }()
	}
	if sets != nil { // told before hours, not after the student's
		if student.Header().Tokenizer == nil {
			return nil, noTokenizer(c.Model, "the tasks")
		}
		if teacher != nil && teacher.Header().Tokenizer == nil {
			return nil, noTokenizer(c.Teacher, "the tasks")
		}
	}
	dev, err := device.Open(c.Device, c.Threads)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()

	q := student.Header().Quantization
	r = &evalReport{
		Model: c.Model, Bits: q.Bits.String(), KVScheme: string(q.KVScheme), KVBytes: student.Header().KVTokenBytes(),
		Teacher: c.Teacher, Device: dev.Device.Name(),
	}
	if c.hasText() {
		if r.textReport, err = c.evalText(ctx, dev, student, teacher, log); err != nil {
			return nil, err
		}
	}
	if sets != nil {
		var models []task.Model
		for _, m := range []*evalModel{student, teacher} {
			if m == nil {
				continue
			}
			asked, err := byEngine(m, dev)
			if err != nil {
				return nil, err
			}
			models = append(models, asked)
		}
		if r.Report, err = c.evalTasks(ctx, sets, models, log); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// check refuses flags that say nothing together, before anything is opened.
func (c *evalCmd) check() error {
	if !c.hasText() && c.Tasks == nil {
		return errors.New("nothing to evaluate on: give --text, --data or --tasks")
	}
	if c.Each && !c.JSON {
		return errors.New("--each is about --json: give that, too")
	}
	if err := c.textFlags.check(); err != nil {
		return err
	}
	if err := c.taskFlags.check(); err != nil {
		return err
	}
	if err := c.foreseeFlags.check(c.Tasks, &c.serverFlags); err != nil || c.Shape != "" {
		return err
	}
	if c.URL == "" && c.Tokenizer != "" && isQAT(c.Model) && (c.Teacher == "" || isQAT(c.Teacher)) {
		return errors.New("--tokenizer is of float models, of --shape or of a server: a .qat file has its own: leave it out, or, for a server, give its --url")
	}
	if c.Model != "" && !isQAT(c.Model) {
		if err := c.sameBits(c.Model, floatBits); err != nil {
			return err
		}
	}
	return c.serverFlags.check(c.Hash, c.Teacher)
}

// print is the report for people.
func (r *evalReport) print(w io.Writer) error {
	if r.URL != "" {
		fmt.Fprintf(w, "%s at %s\n", r.Model, r.URL)
	} else {
		fmt.Fprintf(w, "%s: %s, KV cache %s, %d bytes a token; on %s\n", r.Model, r.Bits, r.KVScheme, r.KVBytes, r.Device)
	}
	if r.textReport != nil {
		if err := r.textReport.print(w, r.Teacher); err != nil {
			return err
		}
	}
	if r.Report == nil {
		return nil
	}
	fmt.Fprintln(w)
	return r.Report.Print(w)
}
