package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const tasksDir = "../../eval/task/testdata/original"

func limit(n int) *int { return &n }

// All tasks are asked, beside a teacher, and what is written to a file is not asked again.
func TestEvalTasks(t *testing.T) {
	model, teacher, text := evalFiles(t)
	items := filepath.Join(t.TempDir(), "items.jsonl")
	all := taskFlags{Tasks: []string{"all", "mmlu_elementary_mathematics"}, TaskData: tasksDir, Shots: 1, Limit: limit(2), Items: items}
	table := evalCmd{Model: model, Teacher: teacher, taskFlags: all}.outcome(t)
	for _, want := range []string{`boolq +2 +1 +\d+\.00`, `(?m)^mmlu_elementary_mathematics +2 +1 `, `(?m)^model less teacher`, `(?m)^average +16 `, "cut from the left"} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	for _, path := range []string{items, filepath.Join(filepath.Dir(items), "items.teacher.jsonl")} {
		if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("\n")) != 1+2*9*2 {
			t.Errorf("%s: %v, %d lines", path, err, bytes.Count(b, []byte("\n")))
		}
	}
	again := evalCmd{Model: model, Teacher: teacher, taskFlags: all}.outcome(t)
	if rest, ok := strings.CutPrefix(again, strings.TrimRight(table, "\n")); !ok || strings.TrimSpace(rest) != "18 items stood in the file of items before" {
		t.Errorf("again:\n%s\nwant the same as\n%s", again, table)
	}

	var out, log bytes.Buffer
	other := evalCmd{Model: teacher, Device: "cpu", Threads: 1, taskFlags: all}
	if err := other.run(context.Background(), &out, &log); err == nil || !strings.Contains(err.Error(), "scores of another run: the model: sha256:") {
		t.Errorf("another model's scores: %v", err)
	}

	// What is wrong with the teacher's is told before the student is asked.
	items = filepath.Join(t.TempDir(), "items.jsonl")
	all.Items = items
	if err := os.WriteFile(strings.TrimSuffix(items, ".jsonl")+".teacher.jsonl", []byte("another's\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	other = evalCmd{Model: model, Teacher: teacher, Device: "cpu", Threads: 1, taskFlags: all}
	if err := other.run(context.Background(), &out, &log); err == nil || !strings.Contains(err.Error(), "items.teacher.jsonl:1") {
		t.Errorf("a teacher's file that is none: %v", err)
	}
	if b, err := os.ReadFile(items); err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("the student was asked before: %s (%v)", b, err)
	}

	type result struct {
		Task, Protocol string
		Shots, Items   int
		Acc            *struct{ Value, SE float64 }
		AccNorm        *struct{ Value, SE float64 } `json:"acc_norm"`
	}
	var report struct {
		Bits       string
		Tasks      []result
		Average    []result `json:"tasks_average"`
		Perplexity *struct{ Value float64 }
		Source     string
	}
	read := func(c evalCmd) {
		t.Helper()
		c.JSON = true
		report.Perplexity, report.Tasks = nil, nil
		if err := json.Unmarshal([]byte(c.outcome(t)), &report); err != nil {
			t.Fatal(err)
		}
	}
	read(evalCmd{Model: model, taskFlags: taskFlags{Tasks: []string{"arc_easy"}, TaskData: tasksDir, Protocol: "lm-eval"}})
	if r := report.Tasks; len(r) != 1 || r[0].Task != "arc_easy" || r[0].Protocol != "lm-eval" || r[0].Items != 2 || r[0].Acc == nil || r[0].AccNorm == nil || report.Perplexity != nil || report.Source != "" {
		t.Errorf("%+v", report)
	}
	read(evalCmd{Model: model, textFlags: textFlags{Text: text}, taskFlags: taskFlags{Tasks: []string{"piqa", "boolq"}, TaskData: tasksDir}})
	if len(report.Tasks) != 4 || len(report.Average) != 2 || report.Perplexity == nil || report.Source != text || report.Tasks[1].AccNorm != nil {
		t.Errorf("tasks beside a text: %+v", report)
	}
}

func TestEvalTasksFails(t *testing.T) {
	model, _, _ := evalFiles(t)
	one := []string{"piqa"}
	for _, c := range []struct {
		c    taskFlags
		says string
	}{
		{taskFlags{}, "--text, --data or --tasks"},
		{taskFlags{Tasks: one}, "--task-data"},
		{taskFlags{TaskData: tasksDir}, "--text, --data or --tasks"},
		{taskFlags{Tasks: one, TaskData: tasksDir, Limit: limit(0)}, "--limit 0: want 1 or more"},
		{taskFlags{Tasks: one, TaskData: tasksDir, Limit: limit(-3)}, "--limit -3: want 1 or more"},
		{taskFlags{Tasks: one, TaskData: tasksDir, Shots: -2}, "--shots -2"},
		{taskFlags{Tasks: []string{"pica"}, TaskData: tasksDir}, `no task "pica": there are boolq, piqa`},
		{taskFlags{Tasks: one, TaskData: tasksDir + "x"}, "no such file"},
		{taskFlags{Tasks: one, TaskData: tasksDir, Items: t.TempDir()}, "is a directory"},
		{taskFlags{Tasks: one, TaskData: tasksDir, ShotsData: tasksDir}, "give --shots N"},
		{taskFlags{Shots: 3}, "--text, --data or --tasks"},
	} {
		var out, log bytes.Buffer
		cmd := evalCmd{Model: model, Device: "cpu", Threads: 1, taskFlags: c.c}
		if err := cmd.run(context.Background(), &out, &log); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error %v, want one that says %q", c.c, err, c.says)
		}
	}
}

// A float model may come without its tokenizer, which is told before the other model is asked.
func TestEvalTasksTokenizerApart(t *testing.T) {
	data := os.Getenv("LLMQAT_TESTDATA")
	if data == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no float model")
	}
	whole, bare := filepath.Join(data, "hf", "stories260K"), t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		if err := os.Symlink(filepath.Join(whole, name), filepath.Join(bare, name)); err != nil {
			t.Fatal(err)
		}
	}
	tasks := taskFlags{Tasks: []string{"piqa"}, TaskData: tasksDir, Items: filepath.Join(t.TempDir(), "items.jsonl")}
	for says, c := range map[string]evalCmd{
		bare + ": no tokenizer inside, to read the tasks": {Model: whole, Teacher: bare},
		"a .qat file has its own":                         {Model: randomModel(t), serverFlags: serverFlags{Tokenizer: whole}},
	} {
		c.taskFlags, c.Device = tasks, "cpu"
		var out, log bytes.Buffer
		if err := c.run(context.Background(), &out, &log); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	if _, err := os.Stat(tasks.Items); err == nil {
		t.Error("the model was asked although its teacher cannot be")
	}
	apart := evalCmd{Model: bare, serverFlags: serverFlags{Tokenizer: filepath.Join(whole, "tokenizer.model")}, taskFlags: tasks}.outcome(t)
	tasks.Items = ""
	if together := (evalCmd{Model: whole, taskFlags: tasks}).outcome(t); strings.SplitAfterN(apart, "\n", 2)[1] != strings.SplitAfterN(together, "\n", 2)[1] {
		t.Errorf("tokenizer apart:\n%s\nwithin:\n%s", apart, together)
	}
}
