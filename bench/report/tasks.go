package report

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/eval/task"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
)

// Tasks is how often a model answers questions right.
type Tasks struct {
	Key string `json:"key"` // of all that the figures depend on
	task.Report
}

// protocols are all: both share what is asked.
var protocols = []task.Protocol{task.LMEval, task.LLaMA}

// tasks asks every model, and the teacher once where a model is missing. Answers are kept item by
// item, so that a run that was ended goes on within a model.
func (o *Options) tasks(ctx context.Context, s *Set, f *files, old *Report, save func() error) (err error) {
	if len(o.Tasks) == 0 {
		return nil
	}
	sets, err := task.Load(o.taskOptions())
	if err != nil {
		return err
	}
	asked, err := hashOf(sets)
	if err != nil {
		return err
	}
	dev, err := device.Open(o.Device, o.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	for i := range s.Models {
		m := &s.Models[i]
		m.Tasks = old.findTasks(keyOf("tasks", m.Hash, s.Teacher.Hash, asked, dev.Device.Name(), o.Version))
	}
	if err := os.MkdirAll(filepath.Join(o.Out, "items"), 0o777); err != nil {
		return err
	}
	tell, end := progress.Line(o.Log, 10*time.Second)
	defer end()
	ask := func(q *qat.File, name, hash string) (_ *task.Answers, err error) {
		e, err := score.NewEngine(q, engine.Options{Device: dev.Device, Threads: dev.Threads})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, e.Close()) }()
		return task.Run(ctx, task.Model{Name: q.Path(), Scorer: e, Tokenizer: q.Header().Tokenizer, ID: task.FileID(q)}, sets, task.RunOptions{
			Protocols: protocols, Items: filepath.Join(o.Out, "items", keyOf("items", hash, asked, dev.Device.Name(), o.Version)+".jsonl"),
			Progress: progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
				tell(fmt.Sprintf("tasks of %s: %.1f %%, %v left", name, 100*float64(done)/float64(total), left.Round(time.Second)))
			}),
		})
	}
	var teacher *task.Answers
	for i := range s.Models {
		m := &s.Models[i]
		if len(m.Tasks.Tasks) > 0 {
			continue
		}
		if teacher == nil {
			if teacher, err = ask(f.teacher, "the teacher", s.Teacher.Hash); err != nil {
				return err
			}
		}
		answers, err := ask(f.models[i], m.Name, m.Hash)
		if err != nil {
			return err
		}
		m.Tasks.Report = *task.Summarize(answers, teacher)
		if err := save(); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) taskOptions() task.Options {
	return task.Options{Tasks: o.Tasks, Dir: o.TaskData, Shots: o.Shots, ShotsDir: o.ShotsData, Limit: o.Limit}
}

// hashOf is a name for all that is asked, examples, too, and for what is told of it.
func hashOf(sets []*task.Set) (string, error) {
	sum := sha256.New()
	for _, s := range sets {
		prompts, err := s.Hash()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d %d %d %s\n", s.Name, s.Shots, s.All, len(s.Items), prompts)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// findTasks returns the figures of a key, or a place for them.
func (r *Report) findTasks(key string) *Tasks {
	for _, s := range r.Sets {
		for _, m := range s.Models {
			if m.Tasks != nil && m.Tasks.Key == key {
				return m.Tasks
			}
		}
	}
	return &Tasks{Key: key}
}

// sameTasks checks that all models were asked the same.
func (s *Set) sameTasks() error {
	names := func(m *Model) (list []string) {
		if m.Tasks != nil {
			for _, t := range append(m.Tasks.Tasks, m.Tasks.Average...) {
				list = append(list, fmt.Sprintf("%s (%s, %d items, %t)", t.Task, t.Protocol, t.Items, t.AccNorm != nil))
				if t.Acc == nil {
					list = append(list, "no accuracy of "+t.Task)
				}
			}
		}
		return list
	}
	first := strings.Join(names(&s.Models[0]), ", ")
	for i := range s.Models {
		if other := strings.Join(names(&s.Models[i]), ", "); other != first || strings.Contains(other, "no accuracy of ") {
			return fmt.Errorf("%s was asked %q, %s %q", s.Models[0].Name, first, s.Models[i].Name, other)
		}
	}
	return nil
}

// answered are the tables of accuracies, one a protocol.
func (s *Set) answered() (tables []Table) {
	if s.Models[0].Tasks == nil {
		return nil
	}
	for _, p := range protocols {
		var columns []column
		add := func(list []task.Result, of func(t *Tasks) []task.Result) {
			for j, r := range list {
				if r.Protocol != p {
					continue
				}
				name := r.Task
				if p == task.LMEval {
					name += ", acc"
				}
				columns = append(columns, column{name, func(i int) Cell { return estimate(*of(s.Models[i].Tasks)[j].Acc, 100, 1, "") }})
				if r.AccNorm != nil {
					columns = append(columns, column{r.Task + ", acc_norm", func(i int) Cell { return estimate(*of(s.Models[i].Tasks)[j].AccNorm, 100, 1, "") }})
				}
			}
		}
		first := s.Models[0].Tasks
		add(first.Tasks, func(t *Tasks) []task.Result { return t.Tasks })
		add(first.Average, func(t *Tasks) []task.Result { return t.Average })
		if len(columns) > 0 {
			what := map[task.Protocol]string{task.LMEval: "lm-evaluation-harness", task.LLaMA: "the LLaMA paper"}[p]
			tables = append(tables, s.table("Tasks as "+what+" scores them, % right", columns...))
		}
	}
	return tables
}

// average is the column of the first table: the mean of all tasks by the first protocol.
func (s *Set) average() []column {
	if s.Models[0].Tasks == nil {
		return nil
	}
	of := func(t *Tasks) []task.Result { return t.Average }
	name := "mean of tasks, %"
	if len(s.Models[0].Tasks.Average) == 0 {
		of = func(t *Tasks) []task.Result { return t.Tasks }
		name = s.Models[0].Tasks.Tasks[0].Task + ", %"
	}
	return []column{{name, func(i int) Cell { return estimate(*of(s.Models[i].Tasks)[0].Acc, 100, 1, "") }}}
}

// asked says what the tasks were.
func (s *Set) asked() string {
	var list []string
	for _, t := range s.Models[0].Tasks.Tasks {
		if t.Protocol != s.Models[0].Tasks.Tasks[0].Protocol {
			break
		}
		one := fmt.Sprintf("%s %s", t.Task, commas(float64(t.Items)))
		if t.Published > 0 {
			one += fmt.Sprintf(" of %s", commas(float64(t.Published)))
		}
		if t.Shots > 0 {
			one += fmt.Sprintf(" after %d examples each", t.Shots)
		}
		list = append(list, one)
	}
	return strings.Join(list, ", ")
}
