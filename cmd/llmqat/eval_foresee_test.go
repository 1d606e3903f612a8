package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const tasksOfOurs = "../../eval/task/testdata/original"

func TestEvalForesees(t *testing.T) {
	model := randomModel(t)
	args := []string{"eval", "--model", model, "--tasks", "all", "--task-data", tasksOfOurs, "--dry-run", "--speed", "1e9,1e9,1e9", "--device", "cpu", "--threads", "2"}
	out, log, status := llmqat(t, nil, args...)
	for _, want := range []string{" of 8 tasks: ", " requests, ", " tokens to compute, ", "the machine of --speed: 1e+09, 1e+09 and 1e+09 a second at most", "\nin all: ", " of memory, "} {
		if status != 0 || !strings.Contains(out, want) {
			t.Fatalf("status %d, no %q in\n%s%s", status, want, out, log)
		}
	}
	if slow, _, _ := llmqat(t, nil, append(args, "--speed", "1e6,1e6,1e6")...); hours(t, slow) < 999*hours(t, out) || hours(t, slow) > 1001*hours(t, out) {
		t.Errorf("at a thousandth of the speed:\n%s\nand at it:\n%s", slow, out)
	}
	if here, log, status := llmqat(t, nil, "eval", "--model", model, "--tasks", "openbookqa", "--task-data", tasksOfOurs, "--dry-run", "--device", "cpu"); status != 0 || !strings.Contains(here, "cpu/") || hours(t, here) <= 0 {
		t.Errorf("on this machine: status %d: %s%s", status, here, log)
	}
}

// hours is what the last line of a dry run says.
func hours(t *testing.T, out string) float64 {
	t.Helper()
	_, last, _ := strings.Cut(out, "\nin all: ")
	_, last, _ = strings.Cut(last, " of memory, ")
	h, err := strconv.ParseFloat(strings.TrimSuffix(last, " hours\n"), 64)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return h
}

func TestEvalForeseeRefuses(t *testing.T) {
	tasks := []string{"--tasks", "all", "--task-data", tasksOfOurs}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"give --dry-run", append([]string{"--shape", "llama-7b", "--tokenizer", "x"}, tasks...)},
		{"about --tasks", []string{"--shape", "llama-7b", "--tokenizer", "x", "--dry-run", "--text", "x"}},
		{"give its tokenizer.model", append([]string{"--shape", "llama-7b", "--dry-run"}, tasks...)},
		{`shape "llama-8b": want one of`, append([]string{"--shape", "llama-8b", "--dry-run", "--tokenizer", "x"}, tasks...)},
		{"no such file", append([]string{"--shape", "llama-7b", "--dry-run", "--tokenizer", filepath.Join(t.TempDir(), "x")}, tasks...)},
		{"3 bits", append([]string{"--shape", "llama-7b", "--bits", "3-8-4", "--dry-run", "--tokenizer", "x"}, tasks...)},
		{"want FLOAT,INT8,READ", append([]string{"--shape", "llama-7b", "--speed", "fast", "--dry-run", "--tokenizer", "x"}, tasks...)},
		{"no such file", append([]string{"--model", filepath.Join(t.TempDir(), "x.qat"), "--dry-run"}, tasks...)},
		{"models that run here", append([]string{"--url", "http://127.0.0.1:1/v1", "--tokenizer", "x", "--dry-run"}, tasks...)},
		{"missing flags", append([]string{"--dry-run"}, tasks...)},
	} {
		if out, log, status := llmqat(t, nil, append([]string{"eval"}, c.args...)...); status == 0 || !strings.Contains(log, c.want) {
			t.Errorf("%v: status %d, want an error that says %q: %s%s", c.args, status, c.want, out, log)
		}
	}
}
