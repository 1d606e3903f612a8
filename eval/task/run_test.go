package task

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/eval/score"
)

var both = []Protocol{LMEval, LLaMA}

func run(t *testing.T, f *fakeScorer, sets []*Set, o RunOptions) (*Answers, error) {
	t.Helper()
	if f.max == 0 {
		f.max = 2000
	}
	return Run(context.Background(), Model{Scorer: f, Tokenizer: byteTokenizer(t, llama), ID: "model"}, sets, o)
}

// Both protocols ask together what one of them asks, but for OpenBookQA's and BoolQ's choices
// after "Answer:", and of these each once.
func TestEqualRequestsAreScoredOnce(t *testing.T) {
	asked := func(tasks string, p ...Protocol) int {
		f := &fakeScorer{rule: byRequest}
		if _, err := run(t, f, load(t, Options{Tasks: strings.Split(tasks, ","), Dir: "testdata/original"}), RunOptions{Protocols: p}); err != nil {
			t.Fatal(err)
		}
		for i, r := range f.asked {
			for _, other := range f.asked[:i] {
				if reflect.DeepEqual(r, other) {
					t.Errorf("%s: %v is asked twice", tasks, r)
				}
			}
		}
		return len(f.asked)
	}
	const others = "piqa,social_iqa,hellaswag,winogrande,arc_easy,arc_challenge"
	if a, b, c := asked(others, LMEval), asked(others, LLaMA), asked(others, both...); a != 2*2+2*3+2*4+2*2+4+3+5+4 || b != a || c != a {
		t.Errorf("%d requests, %d, both %d", a, b, c)
	}
	if a, b := asked("boolq", LMEval), asked("boolq", both...); a != 4 || b != 4+2 { // yes and no after "Answer:" are all items'
		t.Errorf("boolq: %d requests, both %d", a, b)
	}
	if a, b := asked("openbookqa", LMEval), asked("openbookqa", both...); a != 8 || b != 16 {
		t.Errorf("openbookqa: %d requests, both %d", a, b)
	}
}

// The same tokens, cut elsewhere into context and continuation, are another request.
func TestKeyOf(t *testing.T) {
	a, b := score.Request{Context: []int32{1}, Continuation: []int32{2, 3}}, score.Request{Context: []int32{1, 2}, Continuation: []int32{3}}
	if keyOf(a) == keyOf(b) || keyOf(a) != keyOf(score.Request{Context: []int32{1}, Continuation: []int32{2, 3}}) {
		t.Error("keys differ for equal requests, or do not for others")
	}
}

// Answers come back to the items and choices that they are of, though requests end in any order.
func TestAnswersAreTheItems(t *testing.T) {
	sets := load(t, Options{Tasks: []string{"all"}, Dir: "testdata/original"})
	var last int64
	a, err := run(t, &fakeScorer{rule: byRequest, max: 120}, sets, RunOptions{Protocols: both, Progress: func(done, total int64) {
		if done <= last || done > total {
			t.Errorf("progress %d after %d, of %d", done, last, total)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	e := &encoder{tok: byteTokenizer(t, llama), max: 120}
	cut := 0
	for n, s := range sets {
		for i := range s.Items {
			p, err := s.prompt(i)
			if err != nil {
				t.Fatal(err)
			}
			is := a.answers[n][i]
			anyCut := false
			for c := range p.contexts {
				r, cut, err := e.request(p.contexts[c], p.continuations[c])
				if want := byRequest(r); err != nil || is.logprobs[c] != want.Logprob || is.greedy[c] != want.Greedy {
					t.Errorf("%s %d, choice %d: %v, want %v, %v", s.Name, i, c, is, want, err)
				}
				anyCut = anyCut || cut
				if (is.alone != nil) != (s.Name == "boolq" || s.Name == "openbookqa") {
					t.Errorf("%s: after the answer alone: %v", s.Name, is.alone)
				} else if is.alone != nil {
					if r, _, _ := e.request("Answer:", p.continuations[c]); is.alone[c] != byRequest(r).Logprob {
						t.Errorf("%s %d, choice %d: alone %v, want %v", s.Name, i, c, is.alone[c], byRequest(r))
					}
				}
			}
			if anyCut {
				cut++
			}
		}
	}
	sum := 0
	for _, n := range a.cut {
		sum += n
	}
	if cut == 0 || sum != cut || last == 0 {
		t.Errorf("%d items cut, want %d, some; progress at %d", sum, cut, last)
	}
	var b bytes.Buffer
	if err := Summarize(a, nil).Print(&b); err != nil || !strings.Contains(b.String(), "were cut from the left") || !strings.Contains(b.String(), "boolq: its file has other items than the published one, which has 3270") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestLogprobsAreNumbers(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(-1)} {
		f := &fakeScorer{rule: func(score.Request) score.Score { return score.Score{Logprob: v} }}
		if _, err := run(t, f, load(t, Options{Tasks: []string{"piqa"}, Dir: "testdata/original"}), RunOptions{Protocols: both}); err == nil || !strings.Contains(err.Error(), "valid.jsonl: item 1") {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// However a run ends, the next one asks no more than is missing and has the same answers.
func TestResume(t *testing.T) {
	o := Options{Tasks: []string{"openbookqa", "winogrande", "arc_easy"}, Dir: "testdata/original"}
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	f := &fakeScorer{rule: byRequest}
	want, err := run(t, f, load(t, o), RunOptions{Protocols: both, Items: whole})
	if err != nil || want.Found != 0 {
		t.Fatal(err)
	}
	all := len(f.asked)
	file, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(file, []byte("\n")); lines != 1+2*6 {
		t.Errorf("%d lines of 6 items in 2 protocols and a header", lines)
	}
	path := filepath.Join(dir, "items.jsonl")
	check := func(what string, mostAsked int) {
		t.Helper()
		f := &fakeScorer{rule: byRequest}
		got, err := run(t, f, load(t, o), RunOptions{Protocols: both, Items: path})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !reflect.DeepEqual(got.answers, want.answers) {
			t.Fatalf("%s: other answers", what)
		}
		if len(f.asked) > mostAsked {
			t.Errorf("%s: %d requests, want %d at most", what, len(f.asked), mostAsked)
		}
		got1, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sorted(got1), sorted(file)) {
			t.Errorf("%s: other lines", what)
		}
	}
	for _, end := range []int{1, 7, all / 2, all - 1} { // killed after so many requests
		os.Remove(path)
		if _, err := run(t, &fakeScorer{rule: byRequest, end: end}, load(t, o), RunOptions{Protocols: both, Items: path}); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		check("killed", all-end+10) // and what the last items had asked in vain
	}
	for n := 0; n <= len(file); n += 1 + len(file)/60 { // killed within a write
		if err := os.WriteFile(path, file[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		check("cut off", all)
	}
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	check("whole", 0)
}

func sorted(file []byte) []string {
	lines := strings.Split(string(file), "\n")
	slices.Sort(lines)
	return lines
}

// Scores of other models, tasks, items or settings are not mixed.
func TestResumeOfAnotherRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "items")
	o := Options{Tasks: []string{"piqa"}, Dir: "testdata/original"}
	if _, err := run(t, &fakeScorer{rule: byRequest}, load(t, o), RunOptions{Protocols: both, Items: path}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, says string
		o          Options
		p          []Protocol
		max        int
		file       string
	}{
		{"fewer items", "tasks, items", Options{Tasks: o.Tasks, Dir: o.Dir, Limit: 1}, both, 2000, ""},
		{"another task", "tasks, items", Options{Tasks: []string{"arc_easy"}, Dir: o.Dir}, both, 2000, ""},
		{"examples", "tasks, items", Options{Tasks: o.Tasks, Dir: o.Dir, Shots: 1}, both, 2000, ""},
		{"a protocol", "protocols", o, both[:1], 2000, ""},
		{"a context", "the context: 2000, want 1999", o, both, 1999, ""},
		{"no header", "not the header", o, both, 2000, `{"task":"piqa"}` + "\n"},
		{"a text", "not the header", o, both, 2000, "a diary\n"},
		{"an unfinished text", "not the header", o, both, 2000, "a diary"},
		{"a damaged line", "items:3: ", o, both, 2000, strings.Replace(string(before), `"task":"piqa","protocol":"llama"`, `"task":"piqa","protocol":`, 1)},
		{"a line twice", "items:3: not the line", o, both, 2000, strings.Replace(string(before), `"protocol":"llama"`, `"protocol":"lm-eval"`, 1)},
		{"a line of another item", "items:3: not the line", o, both, 2000, strings.Replace(string(before), `"llama","item":1`, `"llama","item":0`, 1)},
		{"a line of no item", "items:2: not the line", o, both, 2000, strings.Replace(string(before), `"item":1`, `"item":9`, 1)},
		{"a line without its numbers", "items:2: not the line", o, both, 2000, strings.Replace(string(before), `"logprobs":[`, `"logprobs":[-1,`, 1)},
	} {
		file := before
		if c.file != "" {
			file = []byte(c.file)
		}
		if err := os.WriteFile(path, file, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := run(t, &fakeScorer{rule: byRequest, max: c.max}, load(t, c.o), RunOptions{Protocols: c.p, Items: path})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", c.what, err, c.says)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, file) {
			t.Errorf("%s: the file is another", c.what)
		}
	}
	if _, err := Run(context.Background(), Model{Scorer: &fakeScorer{rule: byRequest, max: 2000}, Tokenizer: byteTokenizer(t, llama), ID: "other"}, load(t, o), RunOptions{Protocols: both, Items: path}); err == nil {
		t.Error("another model's scores were gone on from")
	}
}

func TestWithoutTokenizer(t *testing.T) {
	_, err := Run(context.Background(), Model{Name: "m.qat", Scorer: &fakeScorer{max: 9}}, load(t, Options{Tasks: []string{"piqa"}, Dir: "testdata/original"}), RunOptions{Protocols: both})
	if err == nil || !strings.Contains(err.Error(), "m.qat: no tokenizer") {
		t.Error(err)
	}
}

// What is asked after "Answer:" is asked beside the first question that waits for it, so that items are known one by one.
func TestAloneIsAskedWithItsQuestion(t *testing.T) {
	for _, name := range []string{"boolq", "openbookqa"} {
		p, err := newPlan(load(t, Options{Tasks: []string{name}, Dir: "testdata/original"}), both, byteTokenizer(t, llama), 2000)
		if err != nil {
			t.Fatal(err)
		}
		first := map[int][]int32{}
		for _, q := range p.questions {
			for _, r := range q.alone {
				if is, ok := first[r]; !ok || slices.Compare(p.requests[q.choices[0]].Context, is) < 0 {
					first[r] = p.requests[q.choices[0]].Context
				}
			}
		}
		for i, r := range p.requests {
			if !slices.Equal(r.With, first[i]) {
				t.Errorf("%s: request %d is asked with %v, want %v", name, i, r.With, first[i])
			}
		}
		if len(first) == 0 {
			t.Errorf("%s: nothing is asked after \"Answer:\"", name)
		}
	}
}
