package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/chart"
	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/train"
)

type reportCmd struct {
	Runs   []string `arg:"" help:"Folders of runs." type:"path" placeholder:"RUN"`
	Curves string   `help:"Draw KL over the steps of all of them, held-out and in training: a .svg or .png file." type:"path" placeholder:"FILE"`
	Title  string   `help:"Of that picture." default:"KL to the teacher"`
	JSON   bool     `name:"json" help:"Print JSON."`

	Tasks     bool               `help:"Print what runs got right of multiple-choice tasks instead: their tasks.json, which llmqat eval --tasks all --json printed."`
	Published map[string]float64 `help:"With --tasks: averages to stand beside, by the runs' names, as 4-8-4=62.0." mapsep:"," placeholder:"RUN=PERCENT,..."`
}

func (reportCmd) Help() string {
	return `A Markdown table, a row a run that has ended: its setting, what rounding to nearest makes of the
teacher, and what training made of it, both served, on the run's held-out text.

  llmqat-train report run-a run-b run-c
  llmqat-train report runs/* --curves runs.svg
  llmqat-train report --tasks runs/float runs/4-8-4 runs/4-8-8    # docs/recipes has the whole way there`
}

// reported is a row.
type reported struct {
	Run     string       `json:"run"`
	KVBytes int          `json:"kv_bytes_per_token"`
	Tokens  int64        `json:"tokens"`
	Config  train.Config `json:"config"`
	result
}

func (c *reportCmd) Run() error {
	if c.Tasks {
		return c.tasks(os.Stdout)
	}
	var list []reported
	for _, dir := range c.Runs {
		r, err := readRun(dir)
		if err != nil {
			return err
		}
		list = append(list, r)
	}
	if c.Curves != "" {
		if err := c.draw(); err != nil {
			return err
		}
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	return table(os.Stdout, list)
}

// readRun reads what became of a run that has ended.
func readRun(dir string) (r reported, err error) {
	r.Run = filepath.Base(dir)
	if r.Config, err = train.LoadConfig(filepath.Join(dir, "config.json")); errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("%s: no run is there, for lack of a config.json: name folders that --out of llmqat-train qat named", dir)
	} else if err != nil {
		return r, err
	}
	path := filepath.Join(dir, "result.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("%s: the run has not ended, for lack of a result.json: go on with it by llmqat-train qat --resume, or leave it out", dir)
	} else if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r.result); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.RTN == nil || r.Student == nil || r.RTN.Comparison == nil || r.Student.Comparison == nil {
		return r, fmt.Errorf("%s: want what llmqat-train qat writes there: rtn and student, each beside its teacher", path)
	}
	r.RTN.Each, r.Student.Each = nil, nil
	f, err := qat.Open(filepath.Join(dir, "student.qat"))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r.KVBytes = f.Header().KVTokenBytes()
	lines, err := train.ReadLog(filepath.Join(dir, "log.jsonl"))
	for _, l := range lines {
		r.Tokens = max(r.Tokens, l.Tokens)
	}
	return r, err
}

// table prints runs as Markdown.
func table(w io.Writer, list []reported) error {
	_, err := fmt.Fprint(w, `| run | W-A-KV | KV cache, bytes a token | begins as | steps | tokens | learning rate | KL rounded | KL trained | of the gap | perplexity rounded | trained | teacher's | same first, rounded | trained |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`)
	for _, r := range list {
		c, rtn, s := r.Config, r.RTN, r.Student
		begin := c.Start
		if begin == "" {
			begin = "teacher"
		}
		scheme := ""
		if c.Quantization.Bits.KV < 16 {
			scheme = string(c.Quantization.KVScheme) + ", "
		}
		gap := "–" // of nothing
		if rtn.KL.Value > 0 {
			gap = fmt.Sprintf("%.1f %%", 100*(1-s.KL.Value/rtn.KL.Value))
		}
		_, e := fmt.Fprintf(w, "| %s | %v | %s%d | %s | %d | %s | %.2g | %.4f | **%.4f** ± %.4f | %s | %.3f | **%.3f** | %.3f | %.1f %% | **%.1f %%** |\n",
			r.Run, c.Quantization.Bits, scheme, r.KVBytes, begin, c.Steps, millions(r.Tokens), c.LearningRate,
			rtn.KL.Value, s.KL.Value, s.KL.SE, gap,
			rtn.Perplexity.Value, s.Perplexity.Value, s.TeacherPerplexity.Value, 100*rtn.Top1.Value, 100*s.Top1.Value)
		err = errors.Join(err, e)
	}
	return err
}

func millions(n int64) string { return fmt.Sprintf("%.2f M", float64(n)/1e6) }

// draw makes the picture of all runs.
func (c *reportCmd) draw() error {
	panels := []chart.Curves{{Title: "held-out text, nats a token", LogY: true}, {Title: "training, mean of 20 steps", LogY: true}}
	for _, dir := range c.Runs {
		lines, err := train.ReadLog(filepath.Join(dir, "log.jsonl"))
		if err != nil {
			return err
		}
		held, trained := chart.Line{Name: filepath.Base(dir)}, chart.Line{Name: filepath.Base(dir)}
		sum, n := 0.0, 0
		for _, l := range lines {
			switch {
			case !(l.KL > 0 && l.KL < 1e30): // which a logarithm cannot take
			case l.Held:
				held.X, held.Y = append(held.X, float64(l.Step)), append(held.Y, l.KL)
			default:
				if sum, n = sum+l.KL, n+1; n == 20 {
					trained.X, trained.Y = append(trained.X, float64(l.Step)), append(trained.Y, sum/20)
					sum, n = 0, 0
				}
			}
		}
		for i, l := range []chart.Line{held, trained} {
			if len(l.X) > 0 {
				panels[i].Lines = append(panels[i].Lines, l)
			}
		}
	}
	format := strings.TrimPrefix(filepath.Ext(c.Curves), ".")
	if format != "svg" && format != "png" {
		return fmt.Errorf("--curves %s: want a name that ends in .svg or .png", c.Curves)
	}
	var some []chart.Curves
	for _, p := range panels {
		if len(p.Lines) > 0 {
			some = append(some, p)
		}
	}
	return replace.File(c.Curves, func(w io.Writer) error {
		return chart.Lines(w, format, c.Title, "step", some)
	})
}
