package task

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/eval"
)

func near(t *testing.T, what string, got *eval.Estimate, value, se float64) {
	t.Helper()
	if got == nil || math.Abs(got.Value-value) > 1e-12 || math.Abs(got.SE-se) > 1e-12 {
		t.Errorf("%s: %+v, want %v ± %v", what, got, value, se)
	}
}

// four is a set of the items that answersTo has answers to.
func four(tk *Task, golds ...int) *Set {
	s := &Set{Task: tk, All: len(golds)}
	for _, gold := range golds {
		s.Items = append(s.Items, Item{Gold: gold})
	}
	return s
}

// answersTo gives each set the same answers. Choices have 2, 4 and 8 characters.
func answersTo(sets ...*Set) *Answers {
	a := &Answers{sets: sets, protocols: []Protocol{LMEval, LLaMA}, cut: make([]int, len(sets))}
	for _, s := range sets {
		a.answers = append(a.answers, []answer{ // likeliest; by characters; by the answer's:
			{logprobs: []float64{-4, -6, -8}, alone: []float64{-3, -6, -5}},         // 0; -2 -1.5 -1; -1 0 -3
			{logprobs: []float64{-5, -5, -50}, alone: []float64{-5, -6, -50}},       // 0 as the first; -2.5 -1.25 -6.25; 0 1 0
			{logprobs: []float64{-1, -2, -4}, alone: []float64{-5, -1, -4}},         // 0; all -0.5; 4 -1 0
			{logprobs: []float64{-7, -6}, alone: []float64{-1, -9}}}[:len(s.Items)]) // 1; -3.5 -1.5; -6 3
		var lengths [][]int
		for _, n := range []int{3, 3, 3, 2} {
			lengths = append(lengths, []int{2, 4, 8}[:n])
		}
		a.lengths = append(a.lengths, lengths)
	}
	return a
}

func TestAccuracies(t *testing.T) {
	se := math.Sqrt(0.75 * 0.25 / 3) // of 3 of 4: deviations' squares sum up to 4·p·(1-p), over 3, over 4
	normed, divided := &Task{Name: "normed", normed: true}, &Task{Name: "divided", alone: true}
	r := Summarize(answersTo(four(normed, 2, 1, 0, 0), four(divided, 0, 0, 1, 1)), nil)
	near(t, "acc", r.find("normed", LMEval).Acc, 0.25, se)
	near(t, "acc_norm", r.find("normed", LMEval).AccNorm, 0.75, se)
	near(t, "paper's, by characters", r.find("normed", LLaMA).Acc, 0.75, se)
	near(t, "paper's, by the answer's", r.find("divided", LLaMA).Acc, 0.25, se)
	if r.find("normed", LLaMA).AccNorm != nil || r.find("divided", LMEval).AccNorm != nil {
		t.Error("acc_norm where the protocol has none")
	}
	near(t, "mean of tasks", r.find("average", LMEval).Acc, 0.5, se/math.Sqrt2)
	near(t, "mean of tasks, acc where there is no acc_norm", r.find("average", LMEval).AccNorm, 0.75, se/math.Sqrt2)
	near(t, "mean of tasks, paper's", r.find("average", LLaMA).Acc, 0.5, se/math.Sqrt2)
	// What each rule alone gets right.
	for _, c := range []struct {
		golds                []int
		acc, norm, byAnswers float64
	}{
		{[]int{0, 0, 0, 1}, 1, 0.5, 0.5},
		{[]int{2, 1, 0, 1}, 0.5, 1, 0.75},
		{[]int{1, 1, 0, 1}, 0.5, 0.75, 1},
		{[]int{1, 2, 2, 0}, 0, 0, 0.25},
	} {
		a := answersTo(four(&Task{Name: "x", normed: true, alone: true}, c.golds...))
		acc, norm := a.right(0, LMEval)
		byAnswers, _ := a.right(0, LLaMA)
		if got := [3]float64{mean(acc).Value, mean(norm).Value, mean(byAnswers).Value}; got != [3]float64{c.acc, c.norm, c.byAnswers} {
			t.Errorf("golds %v: acc, acc_norm, paper's %v, want %v", c.golds, got, c)
		}
	}
}

// Differences are paired: two models that err on the same items differ by nothing, without error.
func TestTeacher(t *testing.T) {
	tk := &Task{Name: "x", normed: true}
	student, teacher := answersTo(four(tk, 0, 0, 0, 1)), answersTo(four(tk, 0, 0, 0, 1))
	r := Summarize(student, teacher).find("x", LMEval)
	near(t, "teacher", r.Teacher.AccNorm, 0.5, math.Sqrt(0.25/3))
	near(t, "equal", r.Difference.AccNorm, 0, 0)
	// The teacher loses item 0 and gets no other: differences 1 0 0 0, mean 1/4, variance 1/4.
	teacher.answers[0][0].logprobs = []float64{-4, -1, -8}
	rep := Summarize(student, teacher)
	r = rep.find("x", LMEval)
	near(t, "teacher", r.Teacher.Acc, 0.75, 0.25)
	near(t, "one item better", r.Difference.Acc, 0.25, 0.25)
	var b bytes.Buffer
	if err := rep.Print(&b); err != nil || !strings.Contains(b.String(), "+25.00 ± 25.00") || !strings.Contains(b.String(), "model less teacher") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

// MMLU's mean is over items; its variance is the subjects', weighted by their degrees of freedom.
func TestMMLUIsPooled(t *testing.T) {
	a, b := mmluTask("anatomy"), mmluTask("virology")
	r := Summarize(answersTo(four(a, 0, 0, 0, 1), four(b, 1, 2, 2, 1)), nil) // all of 4 right; the last of 4
	if len(r.Tasks) != 2 || r.Average != nil || len(r.Tasks[0].Subjects) != 2 {
		t.Fatalf("%+v", r)
	}
	// Subjects' variances are 0 and 1/4: (3·0 + 3·1/4)/6 over 8 items.
	near(t, "mmlu", r.Tasks[0].Acc, 5.0/8, math.Sqrt(1.0/8/8))
	var out bytes.Buffer
	if err := r.Print(&out); err != nil || !strings.Contains(out.String(), "mmlu: 2 of 57 subjects") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	if r := Summarize(answersTo(four(a, 0, 0, 0, 1)), nil); r.Tasks[0].Task != "mmlu_anatomy" {
		t.Errorf("one subject: %+v", r.Tasks)
	}
}

// One item has no standard error, and JSON no NaN.
func TestOneItem(t *testing.T) {
	if e := mean([]float64{1}); e.Value != 1 || e.SE != 0 {
		t.Errorf("%+v", e)
	}
	if r := pooled(Summarize(answersTo(four(mmluTask("anatomy"), 0)), nil).Tasks[:1]); r.Acc.SE != 0 || r.Acc.Value != 1 {
		t.Errorf("%+v", r.Acc)
	}
}
