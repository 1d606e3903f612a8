package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train"
)

// From a teacher to a student, by the commands: generate, qat, and the file that is served.
func TestQAT(t *testing.T) {
	model, data, out := teacher(t, "16-16-16", 1), t.TempDir(), filepath.Join(t.TempDir(), "run")
	made(t, data, "--model", model, "--samples", "200", "--max-tokens", "24")
	args := []string{"qat", "--teacher", model, "--data", data, "--out", out, "--length", "24", "--batch", "16", "--steps", "60", "--eval-every", "20", "--save-every", "20", "--lr", "3e-4", "--bits", "4-4-4", "--kv-scheme", "token"}

	log, status := run(t, nil, append(args, "--dry-run")...)
	if status != 0 {
		t.Fatalf("--dry-run: status %d: %s", status, log)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("--dry-run left a folder")
	}
	if log, status = run(t, nil, append(args, "--grad-check")...); status != 0 {
		t.Fatalf("--grad-check: status %d: %s", status, log)
	}
	if log, status = run(t, nil, args...); status != 0 || !strings.Contains(log, "step 60, held-out text: KL") {
		t.Fatalf("status %d: %s", status, log)
	}
	path := filepath.Join(out, "student.qat")
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	h := f.Header()
	if q, p := h.Quantization, h.Provenance; q.Bits.String() != "4-4-4" || q.Method != "qat" || p.Steps == 0 || p.Tokens == 0 || !strings.HasPrefix(p.SourceHash, "sha256:") {
		t.Errorf("%+v, %+v", q, p)
	}
	lines, err := train.ReadLog(filepath.Join(out, "log.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	first, last := lines[0], lines[len(lines)-1]
	if !first.Held || !last.Held || !(last.KL < first.KL) {
		t.Errorf("KL on held-out text went from %v to %v", first.KL, last.KL)
	}

	// What is served does what the trained forward did, and so better than rounding.
	text, err := os.ReadFile(filepath.Join(out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if kl := r.Student.KL.Value; math.Abs(kl/last.KL-1) > 0.05 || !(kl < r.RTN.KL.Value) || len(r.Logits) != 64 {
		t.Errorf("served, the student has a KL of %v, trained %v, rounded to nearest %v; hash %q", kl, last.KL, r.RTN.KL.Value, r.Logits)
	}

	if a := r.Apart; a == nil || !a.Exact() {
		t.Errorf("what is served is apart from what is trained by %v", a)
	}

	samples, err := os.ReadFile(filepath.Join(out, "samples.md"))
	if n := strings.Count("\n"+string(samples), "\n## "); err != nil || n != 3 || strings.Count(string(samples), "\nstudent.qat, drawn:\n\n    ") != 3 {
		t.Errorf("samples of %d prompts, want those of teacher and student for 3 (%v):\n%s", n, err, samples)
	}

	// Going on with what is done changes nothing; beginning anew is refused.
	if again := (&qatCmd{Out: out}).again(); !strings.Contains(again, "--resume") {
		t.Errorf("interrupted: %s", again)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if log, status = run(t, nil, append(args, "--resume")...); status != 0 {
		t.Fatalf("--resume: status %d: %s", status, log)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("--resume of a finished run changed its student (%v)", err)
	}
	if log, status = run(t, nil, args...); status == 0 || !strings.Contains(log, "--resume") {
		t.Errorf("a second run in the folder: status %d: %s", status, log)
	}
}

// Who trained and got what there was before is told so.
func TestNothingLearned(t *testing.T) {
	long.Sequential(t)
	model, data := teacher(t, "16-16-16", 1), t.TempDir()
	made(t, data, "--model", model, "--samples", "60", "--max-tokens", "24")
	for rate, want := range map[string]bool{"1": true, "3e-4": false} {
		log, status := run(t, nil, "qat", "--teacher", model, "--data", data, "--out", filepath.Join(t.TempDir(), "run"), "--length", "24", "--batch", "16", "--steps", "20", "--lr", rate, "--bits", "4-4-4", "--kv-scheme", "token")
		if got := strings.Contains(log, "student.qat is what training began with"); status != 0 || got != want {
			t.Errorf("--lr %s: warned: %v, want %v; status %d: %s", rate, got, want, status, log)
		}
	}
}

// On a terminal, which script(1) provides, what is told of evaluations has lines of its own.
func TestQATOnTerminal(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("no script(1) of util-linux")
	}
	model, data := teacher(t, "16-16-16", 1), t.TempDir()
	made(t, data, "--model", model, "--samples", "60", "--max-tokens", "24")
	c := exec.Command(script, "-qec", strings.Join([]string{os.Args[0], "qat", "--teacher", model, "--data", data, "--out", filepath.Join(t.TempDir(), "run"),
		"--length", "24", "--steps", "2", "--eval-every", "1"}, " "), os.DevNull)
	c.Env = append(os.Environ(), "LLMQAT_TEST_MAIN=1")
	log, err := c.CombinedOutput()
	lines := regexp.MustCompile(`(?:.*\x1b\[K|\n|^)step \d+, held-out`).FindAllString(string(log), -1)
	if err != nil || len(lines) != 3 || strings.Count(string(log), ", held-out") != 3 {
		t.Errorf("%v: want a line each of 3 evaluations: %q", err, log)
	}
}

// A student.qat that is not what was evaluated, by a bit of a weight, fails the run.
func TestServedIsEvaluated(t *testing.T) {
	long.Sequential(t)
	model, data, out := teacher(t, "16-16-16", 1), t.TempDir(), filepath.Join(t.TempDir(), "run")
	made(t, data, "--model", model, "--samples", "60", "--max-tokens", "24")
	if log, status := run(t, nil, "qat", "--teacher", model, "--data", data, "--out", out, "--length", "24", "--batch", "16", "--steps", "2", "--eval-every", "1", "--eval-windows", "3"); status != 0 {
		t.Fatalf("status %d: %s", status, log)
	}
	ctx, c := context.Background(), &qatCmd{Out: out}
	src, err := source.Open(model, "")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	config, err := train.LoadConfig(filepath.Join(out, "config.json"))
	if err != nil || config.EvalWindows != 3 {
		t.Fatalf("%d windows, %v", config.EvalWindows, err)
	}
	_, _, held, err := (&qatCmd{Data: []string{data}}).data(config, src.Config().VocabSize, config.Teacher, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	lines, err := train.ReadLog(filepath.Join(out, "log.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var best *train.Served
	for _, l := range lines {
		if l.Held && (best == nil || l.Served.KL < best.KL) {
			best = l.Served
		}
	}
	if err := c.result(ctx, dev, src, config, held, best); err != nil {
		t.Fatal(err)
	}

	apart := &train.Apart{KL: 1e-9, Agreement: 1, Perplexity: 1.0001}
	if err := tellApart(apart, false); err == nil || !strings.Contains(err.Error(), "+0.01 % of perplexity") {
		t.Errorf("a little apart: %v", err)
	}
	if err := tellApart(apart, true); err != nil {
		t.Errorf("a little apart, with --compat: %v", err)
	}

	path := filepath.Join(out, "student.qat")
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.Clone(f.Bytes())
	w, _ := f.Tensor("model.layers.0.mlp.up_proj.weight")
	at := bytes.Index(whole, f.Data(w))
	if err := f.Close(); err != nil || at < 0 {
		t.Fatal(err)
	}
	whole[at+5] ^= 1 << 2
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	err = c.result(ctx, dev, src, config, held, best)
	if err == nil || !strings.Contains(err.Error(), "recorded "+best.Logits) || !strings.Contains(err.Error(), path+": its logits") {
		t.Errorf("a flipped bit of a weight: %v, want an error that names the file and both hashes", err)
	}
}

// A student may begin as what training-free methods make of its teacher, of another
// shape even: rotations untie lm_head.
func TestQATStart(t *testing.T) {
	long.Sequential(t)
	model, data, out := teacher(t, "16-16-16", 1), t.TempDir(), filepath.Join(t.TempDir(), "run")
	made(t, data, "--model", model, "--samples", "60", "--max-tokens", "24")
	log, status := run(t, nil, "qat", "--teacher", model, "--data", data, "--out", out, "--length", "24", "--batch", "16", "--steps", "3", "--start", "hadamard+clip+gptq")
	if status != 0 {
		t.Fatalf("status %d: %s", status, log)
	}
	f, err := qat.Open(filepath.Join(out, "student.qat"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if note := f.Header().Provenance.Notes["start"]; !strings.Contains(note, "hadamard") || !strings.Contains(note, "gptq") {
		t.Errorf("the file says that it began with %q", note)
	}
}

// --compat chooses what the released code has, and the file says so.
func TestQATCompat(t *testing.T) {
	long.Sequential(t)
	model, data, out := teacher(t, "16-16-16", 1), t.TempDir(), filepath.Join(t.TempDir(), "run")
	made(t, data, "--model", model, "--samples", "60", "--max-tokens", "24")
	if log, status := run(t, nil, "qat", "--teacher", model, "--data", data, "--out", out, "--length", "24", "--batch", "16", "--steps", "3", "--compat"); status != 0 {
		t.Fatalf("status %d: %s", status, log)
	}
	c, err := train.LoadConfig(filepath.Join(out, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if q := c.Quantization; q.KVScheme != quant.KVToken || q.LMHeadBits != 16 || c.LearnSteps || c.Gate != 2 || c.Clip != 1 || !c.Compat {
		t.Errorf("the run's config is %+v", c)
	}
	f, err := qat.Open(filepath.Join(out, "student.qat"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if note := f.Header().Provenance.Notes["compat"]; !strings.Contains(note, "released code") {
		t.Errorf("the file says %q", note)
	}
}

// withNaN is a copy of a model with a weight that is no number.
func withNaN(t *testing.T, model string) string {
	t.Helper()
	f, err := qat.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := slices.Clone(f.Bytes())
	w, _ := f.Tensor("model.layers.1.mlp.down_proj.weight")
	at := bytes.Index(b, f.Data(w))
	copy(b[at:], "\xff\xff\xff\xff") // of float16, bfloat16 and float32
	path := filepath.Join(t.TempDir(), "nan.qat")
	if err := os.WriteFile(path, b, 0o666); err != nil || at < 0 {
		t.Fatal(err)
	}
	return path
}

// Whoever forgot some of the shards is told, and may train on the others.
func TestMissingShards(t *testing.T) {
	model, data := teacher(t, "16-16-16", 1), t.TempDir()
	if log, status := run(t, nil, "generate", "--model", model, "--out", data, "--samples", "60", "--max-tokens", "24", "--shard", "1/3"); status != 0 {
		t.Fatal(log)
	}
	log, status := run(t, nil, "qat", "--teacher", model, "--data", data, "--out", filepath.Join(t.TempDir(), "run"), "--length", "24", "--dry-run")
	if want := "--data [" + data + "]: 2 of 3 shards are missing, numbers [0 2]: the others' 20 samples are taken"; status != 0 || !strings.Contains(log, want) {
		t.Errorf("status %d, want %q: %s", status, want, log)
	}
}

func TestQATRefuses(t *testing.T) {
	model, data := teacher(t, "16-16-16", 1), t.TempDir()
	made(t, data, "--model", model, "--samples", "40", "--max-tokens", "24")
	out := filepath.Join(t.TempDir(), "run")
	if again := (&qatCmd{Out: out}).again(); strings.Contains(again, "--resume") {
		t.Errorf("interrupted before the run began: %s", again)
	}
	base := []string{"qat", "--teacher", model, "--out", out}
	text := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("Once upon a time. ", 200)), 0o666); err != nil {
		t.Fatal(err)
	}
	windows := t.TempDir() // which go with any teacher
	made(t, windows, "--model", model, "--text", text, "--max-tokens", "24")
	cut := filepath.Join(t.TempDir(), "shard-00000-of-00001.jsonl")
	whole, err := os.ReadFile(filepath.Join(data, "shard-00000-of-00001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, whole[:len(whole)-5], 0o666); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "shard-00000-of-00001.jsonl")
	if err := os.WriteFile(changed, bytes.Replace(whole, []byte(`"index":7`), []byte(`"index":8`), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--bits", "3-8-4"}, "3 bits"},
		{[]string{"--bits", "4-8-5"}, "KV cache of 5 bits"},
		{[]string{"--bits", "4-17-4"}, "17 bits"},
		{[]string{"--lm-head-bits", "7"}, "lm_head of 7 bits"},
		{[]string{"--float", "f64"}, `"f64": want f32`},
		{[]string{"--kv-scheme", "heads"}, `"heads": want head-zp`},
		{[]string{"--compat", "--kv-scheme", "head-zp"}, `KV scheme is "head-zp", the released code has "token"`},
		{[]string{"--compat", "--lsq"}, "learned steps"},
		{[]string{"--length", "1000"}, "length is 1000"},
		{[]string{"--start", "magic", "--dry-run"}, `start: method "magic"`},
		{[]string{"--bits", "16-16-4", "--lsq"}, "no steps to learn"},
		{[]string{"--steps", "0"}, "--steps is 0"},
		{[]string{"--steps-rate", "0"}, "--no-lsq"},
		{[]string{"--keep", "0"}, "--keep is 0"},
		{[]string{"--eval-windows=-5"}, "eval windows is -5"},
		{[]string{"--out", model}, "not a directory"},
		{[]string{"--data", filepath.Join(t.TempDir(), "none")}, "--data: stat"},
		{[]string{"--held", filepath.Join(t.TempDir(), "none")}, "--held: stat"},
		{[]string{"--data", changed}, changed + ":9: index is 8, want 7"},
		{[]string{"--held", changed}, "--held: " + changed},
		{[]string{"--teacher", withNaN(t, model), "--data", windows, "--length", "24"}, `teacher: tensor "model.layers.1.mlp.down_proj.weight": row 0`},
		{[]string{"--data", cut}, cut + ": line 41 is cut off, 39 of 40 samples are there"},
		{[]string{"--teacher", teacher(t, "4-8-4", 1)}, "quantized checkpoint"},
		{[]string{"--teacher", teacher(t, "16-16-16", 2)}, "another teacher"},
	} {
		args := slices.Concat(base, c.args)
		if !slices.Contains(args, "--data") { // which can be given more than once
			args = append(args, "--data", data)
		}
		if log, status := run(t, nil, args...); status == 0 || !strings.Contains(log, c.want) {
			t.Errorf("%v: status %d, want an error that says %q: %s", c.args, status, c.want, log)
		}
		if _, err := os.Stat(filepath.Join(out, "config.json")); err == nil {
			t.Fatalf("%v: a run was begun", c.args)
		}
	}
}

// A student learns from what its teacher wrote down, and from nothing else.
func TestTeach(t *testing.T) {
	long.Sequential(t)
	model, data, dir := teacher(t, "16-16-16", 1), t.TempDir(), t.TempDir()
	made(t, data, "--model", model, "--samples", "60", "--max-tokens", "24")
	known, out := filepath.Join(dir, "teacher.topk"), filepath.Join(dir, "run")
	teach := []string{"teach", "--teacher", model, "--data", data, "--length", "24", "--top-k", "300", "--out", known}
	if log, status := run(t, nil, teach...); status != 0 || !strings.Contains(log, "wrote "+known) {
		t.Fatalf("status %d: %s", status, log)
	}
	args := []string{"qat", "--teacher", model, "--logits", known, "--length", "24", "--batch", "16", "--steps", "20", "--lr", "3e-4", "--bits", "4-4-4", "--kv-scheme", "token"}
	if log, status := run(t, nil, append(args, "--data", data, "--out", out)...); status != 0 {
		t.Fatalf("status %d: %s", status, log)
	}
	lines, err := train.ReadLog(filepath.Join(out, "log.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if first, last := lines[0], lines[len(lines)-1]; !(last.KL < first.KL) {
		t.Errorf("KL on held-out text went from %v to %v", first.KL, last.KL)
	}
	if c, err := train.LoadConfig(filepath.Join(out, "config.json")); err != nil || c.TopK != 300 || !strings.HasPrefix(c.Logits, "sha256:") {
		t.Errorf("config %+v, %v", c, err)
	}
	other := t.TempDir()
	made(t, other, "--model", model, "--samples", "50", "--max-tokens", "24")
	for want, more := range map[string][]string{
		"other data": {"--data", other}, "same --length": {"--data", data, "--length", "20"},
		"attention loss is 1": {"--data", data, "--attention-loss", "1"}, "none": {"--data", data, "--logits", filepath.Join(dir, "none")},
	} {
		if log, status := run(t, nil, append(append([]string{}, args...), append(more, "--out", filepath.Join(dir, "other"))...)...); status == 0 || !strings.Contains(log, want) {
			t.Errorf("%v: status %d, want an error that says %q: %s", more, status, want, log)
		}
	}
	if log, status := run(t, nil, append(append([]string{}, teach...), "--length", "1")...); status == 0 || !strings.Contains(log, "--length is 1") {
		t.Errorf("windows of one token: status %d: %s", status, log)
	}
	if log, status := run(t, nil, append(append([]string{}, teach...), "--tokenizer", known)...); status == 0 || !strings.Contains(log, "leave --tokenizer out") {
		t.Errorf("a tokenizer beside that of a .qat file: status %d: %s", status, log)
	}
}
