package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tasksFile is what llmqat eval --tasks prints, of two tasks.
const tasksFile = `{"model": "m.qat", "tasks": [
	{"task": "boolq", "protocol": "lm-eval", "shots": 0, "items": 3270, "acc": {"value": 0.75, "se": 0.0076}},
	{"task": "piqa", "protocol": "lm-eval", "shots": 0, "items": 1838, "acc": {"value": 0.78, "se": 0.01}, "acc_norm": {"value": 0.79, "se": 0.0095}},
	{"task": "boolq", "protocol": "llama", "shots": 0, "items": 3270, "acc": {"value": 0.7, "se": 0.008}},
	{"task": "piqa", "protocol": "llama", "shots": 0, "items": 1838, "acc": {"value": 0.8, "se": 0.0093}}],
 "tasks_average": [
	{"task": "average", "protocol": "lm-eval", "shots": 0, "items": 5108, "acc": {"value": 0.765}, "acc_norm": {"value": 0.77, "se": 0.006}},
	{"task": "average", "protocol": "llama", "shots": 0, "items": 5108, "acc": {"value": 0.75, "se": 0.0061}}]}`

func runWith(t *testing.T, name, tasks string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks.json"), []byte(tasks), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReportTasks(t *testing.T) {
	float := runWith(t, "float", tasksFile)
	student := runWith(t, "4-8-4", strings.NewReplacer("0.78,", "0.77,", "0.79,", "0.76,", "0.8,", "0.7,", "0.75, \"se\": 0.0061", "0.7, \"se\": 0.0061").Replace(tasksFile))
	var b bytes.Buffer
	c := reportCmd{Runs: []string{float, student}, Published: map[string]float64{"float": 66.2, "4-8-4": 62}}
	if err := c.tasks(&b); err != nil {
		t.Fatal(err)
	}
	const want = `LLaMA paper's protocol, %:

| W-A-KV | boolq | piqa | average | published |
| --- | --- | --- | --- | --- |
| float | 70.0 | 80.0 | 75.0 | 66.2 |
| 4-8-4 | 70.0 | 70.0 | 70.0 | 62.0 |
| ± of the first | 0.8 | 0.9 | 0.6 |  |
| items | 3270 | 1838 | 5108 |  |

lm-evaluation-harness' protocol, acc_norm where the task has it, else acc, %:

| W-A-KV | boolq | piqa | average |
| --- | --- | --- | --- |
| float | 75.0 | 79.0 | 77.0 |
| 4-8-4 | 75.0 | 76.0 | 77.0 |
| ± of the first | 0.8 | 0.9 | 0.6 |
| items | 3270 | 1838 | 5108 |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	// KL stands where some run has one.
	rows := []asked{{name: "float"}, {name: "4-8-4", result: &result{}}}
	for i := range rows {
		a, err := readTasks(float)
		if err != nil {
			t.Fatal(err)
		}
		rows[i].Report = a.Report
	}
	rows[1].result.RTN, rows[1].result.Student = klOf(0.6277), klOf(0.0774)
	b.Reset()
	if err := (&reportCmd{}).tasksBy(&b, "llama", rows); err != nil || !strings.Contains(b.String(), "| average | KL rounded | KL trained |") ||
		!strings.Contains(b.String(), "| 4-8-4 | 70.0 | 80.0 | 75.0 | 0.6277 | 0.0774 |") || !strings.Contains(b.String(), "| float | 70.0 | 80.0 | 75.0 |  |  |") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestReportTasksRefuses(t *testing.T) {
	float := runWith(t, "float", tasksFile)
	for _, c := range []struct{ want, tasks string }{
		{"tasks.json: unexpected end", "{"},
		{"no results of tasks", "{}"},
		{"boolq has no acc", `{"tasks":[{"task":"boolq","protocol":"llama","items":1}]}`},
		{"was asked 100 items of boolq, lm-eval, after 0 examples, float was asked 3270 items of boolq", strings.ReplaceAll(tasksFile, "3270", "100")},
		{"was asked nothing more", `{"tasks":[{"task": "boolq", "protocol": "lm-eval", "items": 3270, "acc": {"value": 0.75}}]}`},
	} {
		cmd := reportCmd{Runs: []string{float, runWith(t, "other", c.tasks)}}
		if err := cmd.tasks(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
	if _, err := readTasks(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no tasks.json") {
		t.Errorf("error %v", err)
	}
}
