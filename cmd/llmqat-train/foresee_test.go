package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// foreseen is what a dry run prints.
func foreseen(t *testing.T, args ...string) string {
	t.Helper()
	c, log := command(nil, append(args, "--dry-run")...)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, log)
	}
	return string(out)
}

// What a model that is not here would take: LLaMA-7B has 6,738,415,616 parameters, of which a token meets all
// but the embedding's 131,072,000 and the norms' 266,240.
func TestForesee(t *testing.T) {
	speed := []string{"--speed", "495e12,990e12,3.35e12"}
	qat := foreseen(t, append([]string{"qat", "--shape", "llama-7b", "--steps", "12000", "--batch", "8", "--pass", "1"}, speed...)...)
	// Rows of weights are padded to nothing here, and a step takes 4·(6,607,077,376 + 2·32·4096·1024)
	// multiply-adds a token.
	for _, want := range []string{
		"teacher's weights       26953.7 MB", "gradients               26953.7 MB", "AdamW's moments         53907.3 MB", "windows                   786.4 MB",
		"96000 windows of 196608000 tokens", "12000 steps of up to 16384 tokens: 1 epochs", "4.51e+14 multiply-adds of floats a step", "the machine of --speed does 4.95e+14", ": 9e+03 tokens/s, 1.821s a step",
	} {
		if !strings.Contains(qat, want) {
			t.Errorf("qat: no %q in\n%s", want, qat)
		}
	}
	if last := qat[strings.LastIndex(strings.TrimSpace(qat), "\n")+1:]; !strings.HasPrefix(last, "in all: ") || !strings.HasSuffix(last, " of memory, 6.07 hours\n") {
		t.Errorf("last line %q", last)
	}
	generate := foreseen(t, append([]string{"generate", "--shape", "llama-7b", "--samples", "96000", "--batch", "64", "--shard", "0/2"}, speed...)...)
	// 13,477 MB are read for 64 tokens, without the embedding's 262, and 524,288 bytes of KV cache a token of 1,024.
	for _, want := range []string{
		"teacher's weights       13477.4 MB, as float16", "48000 samples of up to 2048 tokens: 9.83e+07 tokens at most", "64 together",
		"7.31e+16 bytes read", "6.76e+17 multiply-adds of floats", "in all: 48.",
	} {
		if !strings.Contains(generate, want) {
			t.Errorf("generate: no %q in\n%s", want, generate)
		}
	}
	// Of a model that is here its own vocabulary and context count, and nothing is written.
	dir := t.TempDir()
	own := foreseen(t, "generate", "--model", teacher(t, "16-16-16", 1), "--out", filepath.Join(dir, "data"))
	if !strings.Contains(own, "samples of up to 100 tokens") || !strings.Contains(own, "2 threads: ") {
		t.Errorf("of a model that is here:\n%s", own)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("--dry-run left a folder")
	}
}

func TestForeseeConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	config := `{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
		"num_key_value_heads": 4, "vocab_size": 512, "max_position_embeddings": 512, "tie_word_embeddings": true}`
	if err := os.WriteFile(path, []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	speed := "--speed=1e9,1e9,1e9"
	if a, b := foreseen(t, "qat", "--shape", path, speed), foreseen(t, "qat", "--shape", "stories260k", speed); a != b {
		t.Errorf("of a config.json:\n%s\nof the shape's name:\n%s", a, b)
	}
}

func TestForeseeRefuses(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"give --dry-run", []string{"qat", "--shape", "llama-7b", "--out", t.TempDir()}},
		{"give --dry-run", []string{"generate", "--shape", "llama-7b", "--out", t.TempDir()}},
		{`shape "llama-8b": want one of`, []string{"qat", "--shape", "llama-8b", "--dry-run"}},
		{`shape "llama-8b": want one of`, []string{"generate", "--shape", "llama-8b", "--dry-run"}},
		{"want a file named config.json", []string{"qat", "--shape", "other.json", "--dry-run"}},
		{"no such file", []string{"qat", "--shape", filepath.Join(t.TempDir(), "config.json"), "--dry-run"}},
		{"want FLOAT,INT8,READ", []string{"generate", "--shape", "llama-7b", "--dry-run", "--speed", "3"}},
		{"can't be used together", []string{"qat", "--shape", "llama-7b", "--teacher", "x", "--dry-run"}},
		{"missing flags", []string{"qat", "--dry-run"}},
		{"--data: name", []string{"qat", "--teacher", "x"}},
		{"--out: name", []string{"qat", "--teacher", "x", "--data", "y"}},
		{"--out: name", []string{"generate", "--model", "x"}},
		{"leave it out", []string{"generate", "--model", "x", "--text", "y", "--dry-run"}},
	} {
		if log, status := run(t, nil, c.args...); status == 0 || !strings.Contains(log, c.want) {
			t.Errorf("%v: status %d, want an error that says %q: %s", c.args, status, c.want, log)
		}
	}
}
