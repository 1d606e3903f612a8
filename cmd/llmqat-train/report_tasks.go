package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/eval/task"
)

// asked is a run's row: what llmqat eval --tasks --json printed, in its tasks.json.
type asked struct {
	name string
	task.Report
	result *result // of its training; nil where the model was not trained, as the teacher
}

// readTasks reads a run's answers, and what became of its training.
func readTasks(dir string) (a asked, err error) {
	a.name = filepath.Base(dir)
	path := filepath.Join(dir, "tasks.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return a, fmt.Errorf("%s: no tasks.json: write there what llmqat eval --tasks all --json prints of its student.qat", dir)
	} else if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a.Report); err != nil {
		return a, fmt.Errorf("%s: %w", path, err)
	}
	if len(a.Tasks) == 0 {
		return a, fmt.Errorf("%s: no results of tasks: want what llmqat eval --tasks all --json prints", path)
	}
	for i := range a.Tasks {
		if a.Tasks[i].Acc == nil {
			return a, fmt.Errorf("%s: %s has no acc: want what llmqat eval --tasks all --json prints", path, a.Tasks[i].Task)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "result.json")); err == nil {
		r, err := readRun(dir)
		if err != nil {
			return a, err
		}
		a.result = &r.result
	}
	return a, nil
}

// headings of tables.
var headings = map[task.Protocol]string{
	task.LLaMA:  "LLaMA paper's protocol",
	task.LMEval: "lm-evaluation-harness' protocol, acc_norm where the task has it, else acc",
}

// tasks prints a table for each protocol: a row a run, a column a task.
func (c *reportCmd) tasks(w io.Writer) error {
	var rows []asked
	for _, dir := range c.Runs {
		a, err := readTasks(dir)
		if err != nil {
			return err
		}
		if err := a.like(rows); err != nil {
			return err
		}
		rows = append(rows, a)
	}
	first := true
	for _, p := range []task.Protocol{task.LLaMA, task.LMEval} {
		if len(rows[0].of(p)) == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(w)
		}
		first = false
		if err := c.tasksBy(w, p, rows); err != nil {
			return err
		}
	}
	return nil
}

// like wants a to have been asked what the first row was.
func (a *asked) like(rows []asked) error {
	if len(rows) == 0 {
		return nil
	}
	of := func(a *asked) (list []string) {
		for _, r := range a.Tasks {
			list = append(list, fmt.Sprintf("%d items of %s, %s, after %d examples", r.Items, r.Task, r.Protocol, r.Shots))
		}
		return list
	}
	is, want := of(a), of(&rows[0])
	for i := range max(len(is), len(want)) {
		x, y := "nothing more", "nothing more"
		if i < len(is) {
			x = is[i]
		}
		if i < len(want) {
			y = want[i]
		}
		if x != y {
			return fmt.Errorf("%s was asked %s, %s was asked %s: ask all runs the same, by the same flags", a.name, x, rows[0].name, y)
		}
	}
	return nil
}

func (a *asked) of(p task.Protocol) (list []task.Result) {
	for _, r := range a.Tasks {
		if r.Protocol == p {
			list = append(list, r)
		}
	}
	return list
}

// averageOf is one of all tasks by a protocol, or none.
func (a *asked) averageOf(p task.Protocol) []task.Result {
	for _, r := range a.Average {
		if r.Protocol == p && r.Acc != nil {
			return []task.Result{r}
		}
	}
	return nil
}

// score is the number of a table's cell.
func score(r *task.Result) *eval.Estimate {
	if r.AccNorm != nil {
		return r.AccNorm
	}
	return r.Acc
}

// tasksBy prints the table of a protocol, with the first row's standard errors and items below.
func (c *reportCmd) tasksBy(w io.Writer, p task.Protocol, rows []asked) error {
	published := p == task.LLaMA && len(c.Published) > 0 // which are by this protocol
	trained := slices.ContainsFunc(rows, func(a asked) bool { return a.result != nil })
	var err error
	line := func(first string, each func(r *task.Result) string, publishedIs, rounded, student string) {
		cells := []string{first}
		for _, list := range [][]task.Result{rows[0].of(p), rows[0].averageOf(p)} {
			for i := range list {
				cells = append(cells, each(&list[i]))
			}
		}
		if published {
			cells = append(cells, publishedIs)
		}
		if trained {
			cells = append(cells, rounded, student)
		}
		_, e := fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		err = errors.Join(err, e)
	}
	fmt.Fprintf(w, "%s, %%:\n\n", headings[p])
	line("W-A-KV", func(r *task.Result) string { return r.Task }, "published", "KL rounded", "KL trained")
	line("---", func(*task.Result) string { return "---" }, "---", "---", "---")
	for _, a := range rows {
		publishedIs, rounded, student := "", "", ""
		if v, ok := c.Published[a.name]; ok {
			publishedIs = fmt.Sprintf("%.1f", v)
		}
		if r := a.result; r != nil {
			rounded, student = fmt.Sprintf("%.4f", r.RTN.KL.Value), fmt.Sprintf("%.4f", r.Student.KL.Value)
		}
		line(a.name, func(first *task.Result) string {
			for _, r := range append(a.of(p), a.averageOf(p)...) {
				if r.Task == first.Task {
					return percent(score(&r).Value)
				}
			}
			return ""
		}, publishedIs, rounded, student)
	}
	line("± of the first", func(r *task.Result) string { return percent(score(r).SE) }, "", "", "")
	line("items", func(r *task.Result) string { return strconv.Itoa(r.Items) }, "", "", "")
	return err
}

func percent(v float64) string { return fmt.Sprintf("%.1f", 100*v) }
