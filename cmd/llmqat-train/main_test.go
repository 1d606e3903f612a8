package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TestMain is the command itself where asked, so that tests can kill it.
func TestMain(m *testing.M) {
	if os.Getenv("LLMQAT_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// command is llmqat-train with two threads on the CPU.
func command(env []string, args ...string) (c *exec.Cmd, log *bytes.Buffer) {
	c, log = exec.Command(os.Args[0], args...), &bytes.Buffer{}
	c.Env = append(append(os.Environ(), "LLMQAT_TEST_MAIN=1", "LLMQAT_TRAIN_DEVICE=cpu", "LLMQAT_TRAIN_THREADS=2"), env...)
	c.Stderr = log
	return c, log
}

// run runs the command and returns what it says and its exit status.
func run(t *testing.T, env []string, args ...string) (log string, status int) {
	t.Helper()
	c, b := command(env, args...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return b.String(), c.ProcessState.ExitCode()
}

// teacher writes a small model that talks noise.
func teacher(t *testing.T, bits string, seed uint64) string {
	t.Helper()
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "teacher.qat")
	err = convert.Synth(context.Background(), format.Config{
		HiddenSize: 64, IntermediateSize: 96, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 16,
		VocabSize: 400, MaxPositionEmbeddings: 100, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}, path, convert.Options{Bits: b, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// made runs generate and returns the shard's bytes.
func made(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	log, status := run(t, nil, append([]string{"generate", "--out", dir}, args...)...)
	b, err := os.ReadFile(filepath.Join(dir, tokens.ShardName(0, 1)))
	if status != 0 || err != nil {
		t.Fatalf("generate %v: status %d, %v:\n%s", args, status, err, log)
	}
	return b
}

// Killed twenty times at random moments, generate makes the file of one that was not.
func TestKilled(t *testing.T) {
	long.Sequential(t)
	model, dir := teacher(t, "16-16-16", 1), t.TempDir()
	args := []string{"--model", model, "--samples", "150", "--batch", "5"}
	start := time.Now()
	want := made(t, t.TempDir(), args...)
	whole := time.Since(start)
	path := filepath.Join(dir, tokens.ShardName(0, 1))
	r := rand.New(rand.NewPCG(uint64(start.UnixNano()), 0))
	kills, sizes := 0, map[int64]bool{}
	for i := 0; kills < 20; i++ {
		if i == 200 {
			t.Fatalf("killed %d times in 200 runs", kills)
		}
		c, log := command(nil, append([]string{"generate", "--out", dir}, args...)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Late enough to have begun more often than not, and early enough not to end.
		time.Sleep(time.Duration(float64(whole) / 4 * (0.2 + r.Float64())))
		c.Process.Kill()
		switch err := c.Wait(); {
		case err == nil: // it was faster: from here on another file
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("killed %d times, the file differs: %v", kills, err)
			}
			os.Remove(path)
		case c.ProcessState.Exited():
			t.Fatalf("after %d kills: %v: %s", kills, err, log)
		default:
			kills++
			if info, err := os.Stat(path); err == nil {
				sizes[info.Size()] = true
			}
		}
	}
	if len(sizes) < 5 {
		t.Errorf("the kills left files of %d sizes: the test shows nothing", len(sizes))
	}
	if !bytes.Equal(made(t, dir, args...), want) {
		t.Error("the file differs from one made at once")
	}
}

// An interrupt ends it in good order.
func TestInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupts there")
	}
	model, dir := teacher(t, "16-16-16", 1), t.TempDir()
	args := []string{"--model", model, "--samples", "100000", "--batch", "5"}
	c, log := command(nil, append([]string{"generate", "--out", dir}, args...)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, tokens.ShardName(0, 1))
	for {
		if info, err := os.Stat(path); err == nil && info.Size() > 10_000 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if c.ProcessState.ExitCode() != 130 || !strings.Contains(log.String(), "run the same again to go on") || !strings.Contains(log.String(), "of 100000 are there") {
		t.Errorf("%v, want status 130 and what is there:\n%s", c.ProcessState, log)
	}
	b, err := os.ReadFile(path)
	if err != nil || !bytes.HasSuffix(b, []byte("}\n")) {
		t.Errorf("%v; the file ends with %q, want a whole sample", err, b[max(0, len(b)-20):])
	}
}

// Shards are what one machine makes; what is finished is left; flags are variables.
func TestShards(t *testing.T) {
	model, dir := teacher(t, "16-16-16", 1), t.TempDir()
	args := []string{"--model", model, "--samples", "20", "--max-tokens", "30"}
	want := made(t, t.TempDir(), args...)
	for _, shard := range []string{"2/3", "0/3", "1/3"} {
		log, status := run(t, []string{"LLMQAT_TRAIN_SHARD=" + shard, "LLMQAT_TRAIN_OUT=" + dir}, append([]string{"generate"}, args...)...)
		if status != 0 || !strings.Contains(log, "tokens in") {
			t.Fatalf("shard %s: status %d: %s", shard, status, log)
		}
	}
	out := filepath.Join(t.TempDir(), "all.jsonl")
	for _, says := range []string{"20 samples written", "nothing to do"} {
		log, status := run(t, nil, "merge", "--out", out, dir)
		if got, err := os.ReadFile(out); status != 0 || !strings.Contains(log, says) || err != nil || !bytes.Equal(got, want) {
			t.Errorf("merge: status %d, %v, log %q, want %q; or the file is not that of one machine", status, err, log, says)
		}
	}
	log, status := run(t, nil, append([]string{"generate", "--out", dir, "--shard", "1/3"}, args...)...)
	if status != 0 || !strings.Contains(log, "is complete, with 7 samples: nothing to do") {
		t.Errorf("a finished shard: status %d: %s", status, log)
	}
	for says, more := range map[string][]string{
		"made with seed 1, now it is 2":             {"--seed", "2"},
		"made with greedy [2 3 4], now it is [0]":   {"--greedy", "0"},
		"made with temperature 1, now it is 0.7":    {"--temperature", "0.7"},
		"made with top_k 50, now it is 0":           {"--top-k", "0"},
		"made with bos 1, now it is -1":             {"--no-bos"},
		"made with samples 20, now it is 21":        {"--samples", "21"},
		"made with max_tokens 30, now it is 31":     {"--max-tokens", "31"},
		"made with teacher_sha256":                  {"--model", teacher(t, "16-16-16", 2)},
		`"3/3": want I/N`:                           {"--shard", "3/3"},
		`"1/3/4": want I/N`:                         {"--shard", "1/3/4"},
		"want auto, cpu, cuda":                      {"--device", "abacus", "--shard", "0/1"},
		"--batch 0: want 1 to 65536":                {"--batch", "0", "--shard", "0/1"},
		"--batch 100000000: want 1 to 65536":        {"--batch", "100000000", "--shard", "0/1"},
		"give that, or what llmqat quantize --bits": {"--model", teacher(t, "4-8-4", 1)},
	} {
		log, status := run(t, nil, append(append([]string{"generate", "--out", dir, "--shard", "1/3"}, args...), more...)...)
		if status == 0 || !strings.Contains(log, says) {
			t.Errorf("%v: status %d, want another and %q in: %s", more, status, says, log)
		}
	}
}

// A text takes the place of the teacher's own, in the same format.
func TestText(t *testing.T) {
	model, dir := teacher(t, "16-16-16", 1), t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("Once upon a time. ", 100)), 0o666); err != nil {
		t.Fatal(err)
	}
	b := made(t, filepath.Join(dir, "out"), "--model", model, "--text", text, "--max-tokens", "20")
	if first, _, _ := strings.Cut(string(b), "\n"); !strings.Contains(first, `"method":"text"`) || !strings.Contains(first, `"text":{"file":"text"`) {
		t.Errorf("header %s", first)
	}
	log, status := run(t, nil, "generate", "--out", filepath.Join(dir, "out"), "--model", model, "--max-tokens", "20", "--samples", "80")
	if status == 0 || !strings.Contains(log, "made with method text, now it is generate") {
		t.Errorf("samples of another method: status %d: %s", status, log)
	}
}

// Two files of one trained model tell the same stories; each is converted once.
func TestStories(t *testing.T) {
	data := os.Getenv("LLMQAT_TESTDATA")
	if data == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no trained models")
	}
	cache := filepath.Join(t.TempDir(), "new")
	args := []string{"--samples", "12", "--max-tokens", "100", "--cache", cache}
	want := made(t, t.TempDir(), append(args, "--model", filepath.Join(data, "hf/stories260K"))...)
	got := made(t, t.TempDir(), append(args, "--model", filepath.Join(data, "models/stories260K.bin"), "--tokenizer", filepath.Join(data, "models/tok512.bin"))...)
	_, want, _ = bytes.Cut(want, []byte("\n")) // the headers name their files
	_, got, _ = bytes.Cut(got, []byte("\n"))
	if !bytes.Equal(got, want) || bytes.Count(want, []byte("\n")) != 12 {
		t.Errorf("from the llama2.c file:\n%s\nfrom the Hugging Face directory:\n%s", got, want)
	}
	if list, err := filepath.Glob(filepath.Join(cache, "teacher-*.qat")); err != nil || len(list) != 2 {
		t.Errorf("converted to %v, %v; want two files", list, err)
	}
}
