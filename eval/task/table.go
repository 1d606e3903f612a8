package task

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/llmqat/llmqat/eval"
)

// column is a number of a table for people.
type column struct {
	head     string
	protocol Protocol
	of       func(a *Accuracies) *eval.Estimate
}

var columns = []column{
	{"lm-eval acc, %", LMEval, func(a *Accuracies) *eval.Estimate { return a.Acc }},
	{"lm-eval acc_norm, %", LMEval, func(a *Accuracies) *eval.Estimate { return a.AccNorm }},
	{"LLaMA paper's, %", LLaMA, func(a *Accuracies) *eval.Estimate { return a.Acc }},
}

// Print writes tables for people: a row a task, both protocols beside each other, and with a
// teacher how far the model is from it.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	r.table(t, "task", "%.2f", func(r *Result) *Accuracies { return &r.Accuracies })
	if r.Tasks[0].Teacher != nil {
		r.table(t, "\nteacher", "%.2f", func(r *Result) *Accuracies { return r.Teacher })
		r.table(t, "\nmodel less teacher", "%+.2f", func(r *Result) *Accuracies { return r.Difference })
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.notes(w)
}

func (r *Report) table(w io.Writer, head, format string, of func(r *Result) *Accuracies) {
	var used []column
	for _, c := range columns {
		if r.find(r.Tasks[0].Task, c.protocol) != nil {
			used = append(used, c)
		}
	}
	fmt.Fprintf(w, "%s\titems\tshots", head)
	for _, c := range used {
		fmt.Fprintf(w, "\t%s", c.head)
	}
	fmt.Fprintln(w)
	row := func(name string) {
		first := r.find(name, used[0].protocol)
		fmt.Fprintf(w, "%s\t%d\t%d", name, first.Items, first.Shots)
		for _, c := range used {
			e := c.of(of(r.find(name, c.protocol)))
			fmt.Fprint(w, "\t")
			if e != nil {
				fmt.Fprintf(w, format, 100*e.Value)
			}
			if e != nil && e.SE > 0 {
				fmt.Fprintf(w, " ± %.2f", 100*e.SE)
			}
		}
		fmt.Fprintln(w)
	}
	for i := range r.Tasks {
		if r.Tasks[i].Protocol == used[0].protocol {
			row(r.Tasks[i].Task)
		}
	}
	if len(r.Average) > 0 {
		row(r.Average[0].Task)
	}
}

// find returns the result of a task, or of the average, by a protocol.
func (r *Report) find(task string, p Protocol) *Result {
	for _, list := range [][]Result{r.Tasks, r.Average} {
		for i := range list {
			if list[i].Task == task && list[i].Protocol == p {
				return &list[i]
			}
		}
	}
	return nil
}

// notes says what the numbers alone do not.
func (r *Report) notes(w io.Writer) error {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.Protocol != r.Tasks[0].Protocol {
			break
		}
		if t.Cut > 0 {
			fmt.Fprintf(w, "\n%s: %d of %d items are longer than the context and were cut from the left", t.Task, t.Cut, t.Items)
		}
		if t.Published > 0 {
			fmt.Fprintf(w, "\n%s: its file has other items than the published one, which has %d: figures do not compare", t.Task, t.Published)
		}
		if n := len(t.Subjects); n > 0 && n < len(subjects) {
			fmt.Fprintf(w, "\n%s: %d of %d subjects", t.Task, n, len(subjects))
		}
	}
	if r.Found > 0 {
		fmt.Fprintf(w, "\n%d items stood in the file of items before", r.Found)
	}
	_, err := fmt.Fprintln(w)
	return err
}
