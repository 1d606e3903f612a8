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
	case c.Tasks == nil && (c.TaskData != "" || c.Shots > 0 || c.ShotsData != "" || c.ShotsSeed != 0 || c.Limit != nil || c.Items != ""):
		return errors.New("--task-data, --shots, --shots-data, --shots-seed, --limit and --items are about --tasks: give --tasks all, or some of their names")
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

// byEngine is a model that we run, which takes its memory once it is asked.
func byEngine(m *evalModel, dev *device.Opened) (task.Model, error) {
	s, err := score.NewEngine(m.File, engine.Options{Device: dev.Device, Threads: dev.Threads})
	return task.Model{Name: m.Path(), Scorer: s, Tokenizer: m.Header().Tokenizer, ID: task.FileID(m.File)}, err
}

// evalTasks asks a student and, where there is one, its teacher, one after the other, and closes their scorers.
func (c *taskFlags) evalTasks(ctx context.Context, sets []*task.Set, models []task.Model, log io.Writer) (_ *task.Report, err error) {
	tell, end := progress.Line(log, 10*time.Second)
	defer end()
	told := progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
		tell(fmt.Sprintf("tasks: %.1f %%, %v left", 100*float64(done)/float64(total), left.Round(time.Second)))
	})
	items := []string{c.Items, ""}
	if c.Items != "" {
		items[1] = strings.TrimSuffix(c.Items, ".jsonl") + ".teacher.jsonl"
	}
	var ready []*task.Prepared // all of them, for what is wrong with the teacher's is to be told before the student's hours
	for i, m := range models {
		defer func() { err = errors.Join(err, m.Scorer.Close()) }()
		p, err := task.Prepare(m, sets, task.RunOptions{Protocols: c.protocols(), Items: items[i], Progress: func(done, total int64) {
			told(int64(i)*total+done, int64(len(models))*total)
		}})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		ready = append(ready, p)
	}
	answers := make([]*task.Answers, 2)
	for i, p := range ready {
		if answers[i], err = p.Run(ctx); err != nil {
			return nil, err
		}
		if err := models[i].Scorer.Close(); err != nil {
			return nil, err
		}
	}
	return task.Summarize(answers[0], answers[1]), nil
}
