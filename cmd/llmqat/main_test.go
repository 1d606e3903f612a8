package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format/qat"
)

// TestMain is the command itself where asked, so that tests see its exit status.
func TestMain(m *testing.M) {
	if os.Getenv("LLMQAT_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// llmqat runs the command and returns its outputs and exit status.
func llmqat(t *testing.T, env []string, args ...string) (out, log string, status int) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(append(os.Environ(), "LLMQAT_TEST_MAIN=1"), env...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

func TestSynthAndInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.qat")
	_, log, status := llmqat(t, []string{"LLMQAT_BITS=8-8-8"}, "synth", "--shape", "stories260k", "--out", path, "--seed", "3")
	if status != 0 || !strings.HasPrefix(log, "wrote "+path) || strings.Count(log, "\n") != 1 {
		t.Fatalf("synth: status %d, want 0 and one line: %s", status, log)
	}
	out, log, status := llmqat(t, nil, "inspect", path, "--verify")
	if status != 0 {
		t.Fatalf("inspect: status %d: %s", status, log)
	}
	for _, s := range []string{"weight_bits", "260032 parameters", "I8[172 64]", "model.norm.weight", "tokenizer.model", "verified"} {
		if !strings.Contains(out, s) {
			t.Errorf("inspect prints no %q:\n%s", s, out)
		}
	}

	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	up, _ := f.Tensor("model.layers.2.mlp.up_proj.weight")
	f.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[up.Offset+5] ^= 1
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, log, status := llmqat(t, nil, "inspect", path); status != 0 {
		t.Errorf("a changed weight, not verified: status %d: %s", status, log)
	}
	if _, log, status := llmqat(t, nil, "inspect", path, "--verify"); status != 1 || !strings.Contains(log, up.Name) {
		t.Errorf("a changed weight: status %d, want 1 and the tensor's name: %s", status, log)
	}
	if err := os.WriteFile(path, b[:len(b)-1], 0o666); err != nil {
		t.Fatal(err)
	}
	if _, log, status := llmqat(t, nil, "inspect", path); status != 1 || !strings.Contains(log, path) {
		t.Errorf("a byte cut off: status %d, want 1 and the file's name: %s", status, log)
	}
}

func TestQuantize(t *testing.T) {
	data := os.Getenv("LLMQAT_TESTDATA")
	if data == "" {
		t.Skip("LLMQAT_TESTDATA names no directory of real models")
	}
	dir := t.TempDir()
	for _, c := range [][]string{
		{"--model", data + "/hf/stories260K"},
		{"--model", data + "/hf/stories3M", "--bits", "16-16-16"},
		{"--model", data + "/models/stories260K.bin", "--tokenizer", data + "/models/tok512.bin", "--kv-scheme", "token"},
		{"--model", data + "/hf/stories260K", "--bits", "8-8-8", "--lm-head-bits", "16", "--float", "bf16"},
	} {
		path := filepath.Join(dir, "m.qat")
		if _, log, status := llmqat(t, nil, append([]string{"quantize", "--out", path}, c...)...); status != 0 {
			t.Errorf("%v: status %d: %s", c, status, log)
			continue
		}
		if out, log, status := llmqat(t, nil, "inspect", "--verify", path); status != 0 || !strings.Contains(out, "source_hash") {
			t.Errorf("%v: inspect: status %d: %s", c, status, log)
		}
	}
}

func TestBadFlags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.qat")
	for want, args := range map[string][]string{
		"3-8-4":       {"synth", "--shape", "stories260k", "--bits", "3-8-4", "--out", path},
		"llama3-8b":   {"synth", "--shape", "llama-8b", "--out", path},
		"head-zp":     {"synth", "--shape", "stories260k", "--kv-scheme", "none", "--out", path},
		"--out":       {"synth", "--shape", "stories260k"},
		"no-model":    {"quantize", "--model", "no-model", "--out", path},
		"no-file.qat": {"inspect", "no-file.qat"},
	} {
		if _, log, status := llmqat(t, nil, args...); status == 0 || !strings.Contains(log, want) {
			t.Errorf("%v: status %d, want another and %q in: %s", args, status, want, log)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused command wrote a file")
	}
	if out, _, status := llmqat(t, nil, "--version"); status != 0 || out != version+"\n" {
		t.Errorf("--version: status %d, %q", status, out)
	}
}

// An interrupt leaves nothing behind.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts there")
	}
	dir := t.TempDir()
	c := exec.Command(os.Args[0], "synth", "--shape", "tinyllama-1.1b", "--out", filepath.Join(dir, "m.qat"))
	c.Env = append(os.Environ(), "LLMQAT_TEST_MAIN=1")
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if c.ProcessState.ExitCode() != 130 || !strings.Contains(log.String(), "interrupted") {
		t.Errorf("%v, want status 130 and a word: %s", c.ProcessState, log.String())
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// The model is not replaced by what is made of it, nor is text begun that cannot go on.
func TestRefused(t *testing.T) {
	model := randomModel(t)
	out, log, status := llmqat(t, nil, "run", "--model", model, "--top-p", "2", "hello")
	if out != "" || status != 1 || !strings.Contains(log, "top_p") {
		t.Errorf("run: status %d, output %q, log %s", status, out, log)
	}
	_, log, status = llmqat(t, nil, "quantize", "--model", model)
	if status == 0 || strings.Count(log, "\n") > 4 || !strings.Contains(log, "--out") {
		t.Errorf("a missing flag: status %d, want a few lines:\n%s", status, log)
	}
}
