package task

import (
	"math"

	"github.com/llmqat/llmqat/eval"
)

// Result is how a model did on a task by a protocol. Of the LLaMA paper's Acc is the accuracy.
type Result struct {
	Task     string   `json:"task,omitempty"`
	Protocol Protocol `json:"protocol"`
	Shots    int      `json:"shots"`
	Items    int      `json:"items"`

	Accuracies
	Teacher    *Accuracies `json:"teacher,omitempty"`    // the teacher's
	Difference *Accuracies `json:"difference,omitempty"` // less the teacher's, item by item

	Cut       int      `json:"truncated,omitempty"` // items that did not fit into the context
	Published int      `json:"published,omitempty"` // items of the published file, where this one has not as many
	Subjects  []Result `json:"subjects,omitempty"`  // of MMLU
}

// Accuracies are parts of the items that a model got right.
type Accuracies struct {
	Acc     *eval.Estimate `json:"acc,omitempty"`
	AccNorm *eval.Estimate `json:"acc_norm,omitempty"` // by characters of the choices
}

// Report is results by task and protocol.
type Report struct {
	Tasks   []Result `json:"tasks"`
	Average []Result `json:"tasks_average,omitempty"` // of all but MMLU, where they are two or more
	Found   int      `json:"-"`                       // answers that stood in the file of items before
}

// Summarize counts. teacher's answers to the same items are nil where there are none.
func Summarize(student, teacher *Answers) *Report {
	r := &Report{Found: student.Found}
	for _, protocol := range student.protocols {
		var tasks, ofMMLU []Result
		for n, s := range student.sets {
			is := student.result(n, protocol, teacher)
			if s.subject == "" {
				tasks = append(tasks, is)
			} else {
				ofMMLU = append(ofMMLU, is)
			}
		}
		r.Tasks = append(r.Tasks, tasks...)
		if len(tasks) > 1 {
			r.Average = append(r.Average, average(tasks))
		}
		if len(ofMMLU) == 1 {
			r.Tasks = append(r.Tasks, ofMMLU...)
		} else if len(ofMMLU) > 1 {
			r.Tasks = append(r.Tasks, pooled(ofMMLU))
		}
	}
	return r
}

func (a *Answers) result(n int, protocol Protocol, teacher *Answers) Result {
	s := a.sets[n]
	r := Result{Task: s.Name, Protocol: protocol, Shots: s.Shots, Items: len(s.Items), Cut: a.cut[n]}
	if s.published != s.All && s.published > 0 {
		r.Published = s.published
	}
	acc, norm := a.right(n, protocol)
	r.Acc = mean(acc)
	if norm != nil {
		r.AccNorm = mean(norm)
	}
	if teacher == nil {
		return r
	}
	tAcc, tNorm := teacher.right(n, protocol)
	r.Teacher, r.Difference = &Accuracies{Acc: mean(tAcc)}, &Accuracies{Acc: mean(less(acc, tAcc))}
	if norm != nil {
		r.Teacher.AccNorm, r.Difference.AccNorm = mean(tNorm), mean(less(norm, tNorm))
	}
	return r
}

// right has 1 for each item that is answered right, and 0 for the others; norm is nil where the
// protocol has none of the task.
func (a *Answers) right(n int, protocol Protocol) (acc, norm []float64) {
	s := a.sets[n]
	for i, is := range a.answers[n] {
		byLength := make([]float64, len(is.logprobs))
		byAnswer := make([]float64, len(is.alone))
		for c, l := range is.logprobs {
			byLength[c] = l / float64(max(1, a.lengths[n][i][c]))
			if is.alone != nil {
				byAnswer[c] = l - is.alone[c]
			}
		}
		gold := s.Items[i].Gold
		switch {
		case protocol == LMEval:
			acc = append(acc, one(first(is.logprobs) == gold))
			if s.normed {
				norm = append(norm, one(first(byLength) == gold))
			}
		case s.alone:
			acc = append(acc, one(first(byAnswer) == gold))
		default:
			acc = append(acc, one(first(byLength) == gold))
		}
	}
	return acc, norm
}

// first is the index of the largest value, of equal ones the first.
func first(values []float64) int {
	at := 0
	for i, v := range values {
		if v > values[at] {
			at = i
		}
	}
	return at
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func less(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// mean has the standard error of the samples' own deviation, over n-1, as the harness has it.
func mean(values []float64) *eval.Estimate {
	sum, n := 0.0, float64(len(values))
	for _, v := range values {
		sum += v
	}
	e := &eval.Estimate{Value: sum / n}
	if len(values) > 1 {
		square := 0.0
		for _, v := range values {
			square += (v - e.Value) * (v - e.Value)
		}
		e.SE = math.Sqrt(square/(n-1)) / math.Sqrt(n)
	}
	return e
}

// average is the mean over tasks, whose errors are independent. Of a task without acc_norm it is acc.
func average(tasks []Result) Result {
	r := combine(tasks, func(each []*eval.Estimate) *eval.Estimate {
		var e eval.Estimate
		for _, t := range each {
			e.Value += t.Value
			e.SE += t.SE * t.SE
		}
		n := float64(len(each))
		return &eval.Estimate{Value: e.Value / n, SE: math.Sqrt(e.SE) / n}
	})
	r.Task = "average"
	return r
}

// pooled is MMLU of its subjects as the harness has it: the mean over all items, with the subjects'
// pooled variance.
func pooled(subjects []Result) Result {
	r := combine(subjects, func(each []*eval.Estimate) *eval.Estimate {
		var e eval.Estimate
		items, free := 0.0, 0.0
		for i, s := range each {
			n := float64(subjects[i].Items)
			e.Value += n * s.Value
			e.SE += (n - 1) * n * s.SE * s.SE
			items, free = items+n, free+n-1
		}
		if e.Value /= items; free > 0 {
			e.SE = math.Sqrt(e.SE / free / items)
		}
		return &e
	})
	r.Task, r.Subjects = mmlu, subjects
	return r
}

// combine makes one result of several, by what of makes of an estimate of each.
func combine(results []Result, of func(each []*eval.Estimate) *eval.Estimate) Result {
	all := func(pick func(r *Result) *Accuracies) *Accuracies {
		var acc, norm []*eval.Estimate
		normed := false
		for i := range results {
			a := pick(&results[i])
			if a == nil {
				return nil
			}
			acc = append(acc, a.Acc)
			if a.AccNorm != nil {
				norm, normed = append(norm, a.AccNorm), true
			} else {
				norm = append(norm, a.Acc)
			}
		}
		c := &Accuracies{Acc: of(acc)}
		if normed {
			c.AccNorm = of(norm)
		}
		return c
	}
	r := Result{Protocol: results[0].Protocol, Shots: results[0].Shots}
	for i := range results {
		r.Items += results[i].Items
		r.Cut += results[i].Cut
	}
	r.Accuracies = *all(func(r *Result) *Accuracies { return &r.Accuracies })
	r.Teacher = all(func(r *Result) *Accuracies { return r.Teacher })
	r.Difference = all(func(r *Result) *Accuracies { return r.Difference })
	return r
}
