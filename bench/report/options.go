package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/eval/task"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Options say what to measure.
type Options struct {
	Teacher    string // a float model
	Tokenizer  string // of a teacher that has none beside it
	Title      string // "": the teacher's name
	Settings   []string
	KVScheme   string
	Float      string
	LMHeadBits int      // of settings with quantized weights
	Models     []string // further .qat files, students first of all, and float models

	Text     string // a file
	WikiText bool   // which is a wiki.test.raw
	Held     []string
	Length   int // tokens of a window; 0: 2048, or the models' context where that is less
	Windows  int // of each text at most; 0: all

	Tasks     []string // multiple-choice ones; nil: none
	TaskData  string   // folder of their files
	Shots     int      // examples before each item; -1: each task's own number
	ShotsData string   // folder of files with these; "": where task.Options finds them
	Limit     int      // items of each task at most; 0: all

	Prompt, Context, Batch int
	Repeats                int
	Device                 string
	Threads                int

	Notes   []string // of what the reader should know
	Out     string   // the folder of the report
	Version string
	Command string
	Log     io.Writer
}

const (
	decode = 32  // tokens of a sample
	pass   = 512 // tokens of the passes of a prompt, as the server's
)

// check fills in defaults, and finds what is wrong before anything is made.
func (o *Options) check() error {
	o.Title = cmp.Or(o.Title, strings.TrimSuffix(strings.TrimSuffix(filepath.Base(o.Teacher), ".qat"), "-float"))
	o.Prompt, o.Context, o.Batch, o.Repeats = cmp.Or(o.Prompt, 512), cmp.Or(o.Context, 256), cmp.Or(o.Batch, 16), cmp.Or(o.Repeats, 5)
	switch {
	case o.Teacher == "":
		return errors.New("no teacher: name the float model that all others are held against by --teacher")
	case o.Out == "":
		return errors.New("no folder for the report: name one by --out")
	case o.Text == "" && len(o.Held) == 0:
		return errors.New("no text to measure quality on: give --text FILE, or --held DATA that llmqat-train generate made")
	case o.WikiText && o.Text == "":
		return errors.New("--wikitext says what --text holds: give --text")
	case o.Length == 1 || o.Length < 0:
		return fmt.Errorf("windows of %d tokens: want 2 or more: a token to begin with and one to predict", o.Length)
	case o.Windows < 0 || o.Windows == 1:
		return fmt.Errorf("%d windows: want 2 or more, as standard errors do, or 0 for all", o.Windows)
	case o.Prompt < 1 || o.Context < 1 || o.Batch < 2 || o.Repeats < 1:
		return fmt.Errorf("prompt of %d tokens, context of %d, batch of %d, %d repeats: want at least 1, and a batch of 2", o.Prompt, o.Context, o.Batch, o.Repeats)
	case (len(o.Tasks) == 0) != (o.TaskData == ""):
		return errors.New("tasks need their names and the folder of their files: give both --tasks and --task-data")
	case o.Limit < 0 || o.Shots < -1:
		return fmt.Errorf("%d items of a task, %d examples: want 1 or more items or 0 for all, and 0 or more examples or -1 for each task's own", o.Limit, o.Shots)
	case len(o.Settings)+len(o.Models) == 0:
		return errors.New("nothing to compare: give --settings or --models")
	}
	if len(o.Tasks) > 0 { // whose files may be missing
		if _, err := task.Load(o.taskOptions()); err != nil {
			return err
		}
	}
	_, err := o.recipes()
	return err
}

// recipes are how the models of the settings are made.
func (o *Options) recipes() (list []convert.Options, err error) {
	for _, name := range o.Settings {
		c := convert.Options{LMHeadBits: o.LMHeadBits, Source: filepath.Base(o.Teacher), CreatedBy: "llmqat bench " + o.Version}
		if c.Bits, err = quant.ParseBits(name); err != nil {
			return nil, fmt.Errorf("--settings: %w", err)
		}
		if c.KVScheme, err = quant.ParseKVScheme(cmp.Or(o.KVScheme, string(quant.KVHeadZP))); err != nil {
			return nil, err
		}
		if c.Float, err = convert.ParseFloat(o.Float); err != nil {
			return nil, err
		}
		if c.Bits.W == 16 {
			c.LMHeadBits = 16
		}
		list = append(list, c)
	}
	return list, nil
}
