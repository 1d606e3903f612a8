package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/llmqat/llmqat/bench/report"
)

const aboutReport = `Puts quality and speed of a set of models side by side: --out gets report.html, one file that needs
nothing else, report.md with its pictures, and report.json with every sample.

  bench report --teacher path/to/hf-dir --text book.txt --out report
  bench report --teacher hf-dir --models run/student.qat --text wiki.test.raw --wikitext --out report
  bench report --teacher hf-dir --models a.qat,b.qat --settings 16-16-16 --held held/ --out report
  bench report --from one,another --out both --readme README.md

The rows are the --settings, each made of the teacher by rounding to nearest, and the --models: students of
llmqat-train qat, files of llmqat quantize, further float models. The first row is the base of ratios.

For every row it measures the file, the memory, the KV cache; prefill, decode and decode of --batch sequences,
all rows in turn, beside the machine's limits; and on --text and --held, with standard errors, the perplexity,
the KL to the teacher and how often both find the same token likeliest. --held is what llmqat-train generate
made: text of the teacher's own, where the KL is the whole gap between the two. --tasks asks every row the
multiple-choice questions in --task-data, too.

Run it again, and only what is missing or has changed is measured: a model, a text, a flag, this program's version.
The models that it makes stay in OUT/models until you remove them.

--from draws reports that were measured before, of several teachers into one, and --readme writes a table of each
between two lines of a Markdown file, <!-- report:begin --> and <!-- report:end -->.

Every flag is also a variable: --teacher is LLMQAT_BENCH_REPORT_TEACHER. docs/report.md explains the figures.`

type reportFlags struct {
	Teacher   string   `help:"Float model that all others are held against: Hugging Face directory, GGUF, llama2.c or .qat file." placeholder:"PATH" type:"path" xor:"what" required:""`
	From      []string `help:"Reports to draw again: their folders, or report.json files." placeholder:"DIR,..." type:"path" xor:"what" required:""`
	Tokenizer string   `help:"The teacher's, where it has none beside it." placeholder:"FILE" type:"path"`
	Title     string   `help:"What the set is called. Unset: the teacher's name."`
	Settings  []string `help:"Settings W-A-KV to make of the teacher by rounding to nearest; \"\" for none." default:"16-16-16,8-8-8,4-8-8,4-8-4" placeholder:"BITS,..."`
	Models    []string `aliases:"student" help:"Further models: students and other .qat files, float models." placeholder:"FILE,..." type:"path"`

	KVScheme   string `help:"KV scheme of the settings: head-zp, head or token." default:"head-zp"`
	Float      string `help:"Type of float weights: f16, bf16 or f32." enum:"f16,bf16,f32" default:"f16"`
	LMHeadBits int    `name:"lm-head-bits" help:"Of the settings with quantized weights: 8 or 16. Students of llmqat-train have 16 where they were trained so." default:"8"`

	Text     string   `help:"Text file to measure quality on." placeholder:"FILE" type:"path"`
	Wikitext bool     `help:"--text is a wiki.test.raw: its lines are joined as GPTQ joins the data set's rows."`
	Held     []string `help:"Shards that llmqat-train generate made, or directories of them, that no model was trained on." placeholder:"PATH,..." type:"path"`
	Length   int      `help:"Tokens of a window. 0: 2048, or the models' context where that is less." default:"0"`
	Windows  int      `help:"Windows of each text at most; 0: all." default:"0"`

	Tasks     []string `help:"Multiple-choice tasks, by both protocols of llmqat eval: all (the eight zero-shot ones), or some by name." placeholder:"NAME,..."`
	TaskData  string   `help:"Folder of the tasks' files, in the layouts of docs/eval.md." placeholder:"DIR" type:"path"`
	Shots     int      `help:"Solved examples before each item. -1: 5 for MMLU, none for the others." default:"-1"`
	ShotsData string   `help:"Folder of files with the examples. Unset: MMLU's dev files in --task-data, other items of the same file for the others." placeholder:"DIR" type:"path"`
	Limit     int      `help:"Items of each task at most; 0: all." default:"0"`

	Prompt  int    `help:"Tokens to prefill; fewer where the context is." default:"512"`
	Context int    `help:"Tokens of context to decode at; fewer where the context is." default:"256"`
	Batch   int    `help:"Sequences to decode together." default:"16"`
	Repeats int    `help:"Samples of each speed; medians are shown." default:"5"`
	Device  string `help:"auto (the first GPU, else the CPU), cpu, cuda or cuda:N." default:"auto"`
	Threads int    `help:"Threads; 0: one a core." default:"0"`

	Note   []string `sep:"none" help:"A line that the report is to say, as what else the machine did meanwhile." placeholder:"TEXT"`
	Out    string   `help:"Folder of the report." placeholder:"DIR" type:"path" required:""`
	Readme string   `help:"Write a table of each set into this Markdown file, too, between its two marks." placeholder:"FILE" type:"path"`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

// runReport is bench report.
func runReport(ctx context.Context, args []string) (*kong.Kong, error) {
	var f reportFlags
	k := kong.Must(&f, kong.Name("bench report"), kong.Description(aboutReport), kong.DefaultEnvars("LLMQAT_BENCH_REPORT"),
		kong.Vars{"version": version}, kong.ShortUsageOnError())
	if _, err := k.Parse(args); err != nil {
		return k, err
	}
	r, err := f.report(ctx)
	if err != nil {
		return k, err
	}
	if err := report.Write(r, f.Out); err != nil {
		return k, err
	}
	fmt.Fprintf(os.Stderr, "wrote %s and report.md, report.json beside it\n", filepath.Join(f.Out, "report.html"))
	if f.Readme != "" {
		return k, report.Readme(r, f.Readme)
	}
	return k, nil
}

func (f *reportFlags) report(ctx context.Context) (*report.Report, error) {
	if len(f.From) > 0 {
		if f.Text != "" || len(f.Held)+len(f.Models) > 0 {
			return nil, errors.New("--from draws what was measured before: leave --models, --text and --held out")
		}
		return report.Merge(f.From)
	}
	var settings []string
	for _, s := range f.Settings {
		if s != "" {
			settings = append(settings, s)
		}
	}
	return report.Run(ctx, report.Options{
		Teacher: f.Teacher, Tokenizer: f.Tokenizer, Title: f.Title, Settings: settings, Models: f.Models, KVScheme: f.KVScheme, Float: f.Float, LMHeadBits: f.LMHeadBits,
		Text: f.Text, WikiText: f.Wikitext, Held: f.Held, Length: f.Length, Windows: f.Windows,
		Tasks: f.Tasks, TaskData: f.TaskData, Shots: f.Shots, ShotsData: f.ShotsData, Limit: f.Limit,
		Prompt: f.Prompt, Context: f.Context, Batch: f.Batch, Repeats: f.Repeats, Device: f.Device, Threads: f.Threads,
		Notes: f.Note, Out: f.Out, Version: version, Command: command(os.Args), Log: os.Stderr,
	})
}

// command is the command line as a report shows it: the folder of test data by its variable.
func command(args []string) string {
	line := strings.Join(args, " ")
	if dir := os.Getenv("LLMQAT_TESTDATA"); dir != "" {
		line = strings.ReplaceAll(line, dir, "$LLMQAT_TESTDATA")
	}
	return line
}
