package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExport(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	if _, log, status := llmqat(t, nil, "synth", "--shape", "stories260k", "--bits", "4-8-4", "--out", path); status != 0 {
		t.Fatal(log)
	}
	out := filepath.Join(dir, "hf")
	if _, log, status := llmqat(t, nil, "export", "--model", path, "--format", "hf", "--out", out); status != 0 || !strings.Contains(log, "wrote "+out) {
		t.Fatalf("status %d: %s", status, log)
	}
	if _, log, status := llmqat(t, nil, "export", "--model", path, "--format", "hf", "--out", out); status == 0 || !strings.Contains(log, out) {
		t.Errorf("over what is there: status %d: %s", status, log)
	}
	if _, log, status := llmqat(t, nil, "quantize", "--model", out, "--out", filepath.Join(dir, "again.qat")); status != 0 {
		t.Errorf("quantized again: status %d: %s", status, log)
	}
	file := filepath.Join(dir, "m.gguf")
	_, log, status := llmqat(t, nil, "export", "--model", path, "--format", "gguf-q4_0", "--out", file)
	if status != 0 || !strings.Contains(log, "scales are off by at most") || !strings.Contains(log, "5 tensors are float16") { // 172 inputs
		t.Errorf("status %d: %s", status, log)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if _, log, status := llmqat(t, nil, "export", "--model", path, "--format", "gguf-q4_0", "--float", "f32", "--out", file); status == 0 || !strings.Contains(log, "--float") {
		t.Errorf("--float with GGUF: status %d: %s", status, log)
	}
	if _, log, status := llmqat(t, nil, "export", "--model", path, "--format", "compressed-tensors", "--out", filepath.Join(dir, "ct")); status != 0 || !strings.Contains(log, "5 tensors have rows that end within an int32") {
		t.Errorf("status %d: %s", status, log)
	}
}
