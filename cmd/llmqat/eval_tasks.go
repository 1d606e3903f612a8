package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/eval/task"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
)

// taskFlags choose multiple-choice tasks and how they are asked.
type taskFlags struct {
	Tasks     []string `help:"Multiple-choice tasks: all (the eight zero-shot ones), or some of boolq, piqa, social_iqa, hellaswag, winogrande, arc_easy, arc_challenge, openbookqa, mmlu, mmlu_SUBJECT." placeholder:"NAME"`
	TaskData  string   `name:"task-data" help:"Folder of the tasks' files, which may have any of the layouts in docs/eval.md." type:"path" placeholder:"DIR"`
	Protocol  string   `help:"Score as lm-evaluation-harness does (lm-eval), as the LLaMA paper does (llama), or both, which costs little more than one." enum:"both,lm-eval,llama" default:"both"`
	Shots     int      `help:"Solved examples before each item. -1: 5 for MMLU, none for the others." default:"-1" placeholder:"N"`
	ShotsData string   `name:"shots-data" help:"Folder of files with the examples: the first ones are taken, for every item. Unset: MMLU's dev files in --task-data; for the others each item gets other items of its own file, by chance." type:"path" placeholder:"DIR"`
	ShotsSeed uint64   `name:"shots-seed" help:"Of this chance." default:"0" placeholder:"N"`
	Limit     *int     `help:"Ask the first N items of each task (of each subject of MMLU) only: for a try." placeholder:"N"`
	Items     string   `help:"Write every item's scores to this file of JSON Lines. With the same file and flags a run that was ended goes on where it was. A teacher's scores go to FILE.teacher.jsonl." type:"path" placeholder:"FILE"`
}

// check says what is wrong with the flags.
func (c *taskFlags) check() error {
	switch {
	case c.Tasks == nil && (c.TaskData != "" || c.ShotsData != "" || c.Limit != nil || c.Items != ""):
		return errors.New("--task-data, --shots-data, --limit and --items are about --tasks: give --tasks all, or some of their names")
	case c.Tasks != nil && c.TaskData == "":
		return errors.New("--tasks: where are the files? Give their folder by --task-data")
	case c.Shots < -1:
		return fmt.Errorf("--shots %d: want 0 or more, or -1 for each task's own number", c.Shots)
	case c.Limit != nil && *c.Limit < 1:
		return fmt.Errorf("--limit %d: want 1 or more items; leave it out for all", *c.Limit)
	}
	return nil
}

// sets reads the tasks' files.
func (c *taskFlags) sets() ([]*task.Set, error) {
	if c.Tasks == nil {
		return nil, nil
	}
	o := task.Options{Tasks: c.Tasks, Dir: c.TaskData, Shots: c.Shots, ShotsDir: c.ShotsData, Seed: c.ShotsSeed}
	if c.Limit != nil {
		o.Limit = *c.Limit
	}
	return task.Load(o)
}

func (c *taskFlags) protocols() []task.Protocol {
	if c.Protocol == "both" || c.Protocol == "" {
		return []task.Protocol{task.LMEval, task.LLaMA}
	}
	return []task.Protocol{task.Protocol(c.Protocol)}
}

// evalTasks asks the student and, where there is one, the teacher, one after the other.
func (c *taskFlags) evalTasks(ctx context.Context, dev *device.Opened, sets []*task.Set, student, teacher *evalModel, log io.Writer) (*task.Report, error) {
	models := []*evalModel{student}
	if teacher != nil {
		models = append(models, teacher)
	}
	answers := make([]*task.Answers, 2)
	for i, m := range models {
		var err error
		if answers[i], err = c.ask(ctx, dev, sets, m, i, len(models), log); err != nil {
			return nil, err
		}
	}
	return task.Summarize(answers[0], answers[1]), nil
}

// ask asks model number n of so many.
func (c *taskFlags) ask(ctx context.Context, dev *device.Opened, sets []*task.Set, m *evalModel, n, of int, log io.Writer) (_ *task.Answers, err error) {
	items := c.Items
	if items != "" && n > 0 {
		items = strings.TrimSuffix(items, ".jsonl") + ".teacher.jsonl"
	}
	tell, end := progress.Line(log, 10*time.Second)
	defer end()
	s, err := score.NewEngine(m.File, engine.Options{Device: dev.Device, Threads: dev.Threads})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return task.Run(ctx, task.Model{Name: m.Path(), Scorer: s, Tokenizer: m.Header().Tokenizer, ID: task.FileID(m.File)}, sets, task.RunOptions{
		Protocols: c.protocols(), Items: items,
		Progress: progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
			tell(fmt.Sprintf("tasks, model %d of %d: %.1f %%, %v left", n+1, of, 100*float64(done)/float64(total), left.Round(time.Second)))
		}),
	})
}
