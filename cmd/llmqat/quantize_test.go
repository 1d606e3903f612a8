package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/ptq"
)

const floatDemo = "../llmqat-serve/demo/stories260K-float.qat"

// story is a text file of a few hundred tokens.
func story(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "story.txt")
	text := strings.Repeat("Once upon a time there was a little dog. He liked to play in the park with Lily and a big red ball. ", 12)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// quantize makes a file of the demo's model and returns what is in it.
func quantize(t *testing.T, args ...string) (file []byte, log string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.qat")
	_, log, status := llmqat(t, nil, append([]string{"quantize", "--model", floatDemo, "--out", path}, args...)...)
	if status != 0 {
		t.Fatalf("%v: status %d: %s", args, status, log)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file, log
}

// The file has the scales that were searched and GPTQ's integers, each one, and says
// what was done.
func TestQuantizeIsWhatTheMethodFound(t *testing.T) {
	text := story(t)
	path := filepath.Join(t.TempDir(), "m.qat")
	const method = "hadamard+clip+act-order"
	if _, log, status := llmqat(t, nil, "quantize", "--model", floatDemo, "--out", path, "--method", method,
		"--calibrate", text, "--calibration-samples", "0", "--calibration-length", "64", "--seed", "7", "--threads", "1"); status != 0 {
		t.Fatalf("status %d: %s", status, log)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	src, err := source.Open(floatDemo, "")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	raw, err := eval.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	windows, err := eval.Cut(src.Tokenizer(), raw, 64)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := ptq.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := ptq.Parse(method)
	if err != nil {
		t.Fatal(err)
	}
	recipe.Seed = 7
	q := f.Header().Quantization
	steps, err := recipe.Apply(context.Background(), m, &ptq.Calibration{Device: dev, Tokens: windows.Windows}, q)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, x := range m.Config().Tensors() {
		if !x.Linear {
			continue
		}
		w, _ := f.Tensor(x.Name)
		s, _ := f.Tensor(x.Name + qat.ScaleSuffix)
		row, ints := make([]float32, x.In), make([]int8, x.In)
		packed := make([]byte, len(f.Data(w))/x.Out)
		for i, step := range steps.Of(x.Name) {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(f.Data(s)[4*i:])); got != step {
				t.Fatalf("%s: row %d has scale %v, found was %v", x.Name, i, got, step)
			}
			if err := m.ReadRows(row, x.Name, i); err != nil {
				t.Fatal(err)
			}
			for j, v := range row { // a multiple of step
				ints[j] = int8(math.Round(float64(v) / float64(step)))
				if float32(ints[j])*step != v {
					t.Fatalf("%s: row %d: %v is no multiple of %v", x.Name, i, v, step)
				}
			}
			quant.PackInt4(packed, ints)
			if !bytes.Equal(f.Data(w)[i*len(packed):][:len(packed)], packed) {
				t.Fatalf("%s: row %d has other integers than were found", x.Name, i)
			}
			compared++
		}
	}
	if compared < 1000 {
		t.Errorf("%d rows compared", compared)
	}
	hash, err := src.Hash(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := f.Header().Provenance
	if got, want := p.Notes["methods"], "hadamard R1 R2 seed=7, clip, gptq act-order=true"; q.Method != method || got != want {
		t.Errorf("the file says %q and %q, want %q and %q", q.Method, got, method, want)
	}
	if got := p.Notes["calibration"]; !strings.Contains(got, "windows of up to 64 tokens") || !strings.Contains(got, "of story.txt, seed 7, sha256:") || p.SourceHash != hash {
		t.Errorf("the file says of its calibration %q, of its source %s", got, p.SourceHash)
	}
}

// The seed decides, the number of threads does not; what is not asked for is drawn.
func TestQuantizeSeeds(t *testing.T) {
	own := []string{"--method", "gptq", "--calibration-samples", "3", "--calibration-length", "24"}
	first, log := quantize(t, append(own, "--threads", "1")...)
	if !strings.Contains(log, "calibration: 3 windows of up to 24 tokens") || !strings.Contains(log, "of the model's own, seed 1, sha256:") {
		t.Errorf("log: %s", log)
	}
	if again, _ := quantize(t, append(own, "--threads", "3")...); !bytes.Equal(first, again) {
		t.Error("the same command makes another file")
	}
	if other, _ := quantize(t, append(own, "--seed", "2")...); bytes.Equal(first, other) {
		t.Error("another seed makes the same file")
	}
	nearest, log := quantize(t)
	if given, _ := quantize(t, "--method", "rtn", "--seed", "3"); !bytes.Equal(nearest, given) || strings.Contains(log, "calibration") {
		t.Errorf("rtn is not the default: %s", log)
	}
}

func TestPick(t *testing.T) {
	var all [][]int32
	for i := range int32(50) {
		all = append(all, []int32{i})
	}
	count := make([]int, len(all))
	for seed := range uint64(2000) {
		some := pick(all, 5, seed)
		if len(some) != 5 {
			t.Fatalf("seed %d: %d windows, want 5", seed, len(some))
		}
		for i, w := range some {
			if count[w[0]]++; i > 0 && some[i-1][0] >= w[0] {
				t.Fatalf("seed %d: %v", seed, some)
			}
		}
	}
	for i, n := range count { // 200 ± 13.4
		if n < 140 || n > 260 {
			t.Errorf("window %d was picked %d times of 2000, want about 200", i, n)
		}
	}
	if len(pick(all, 0, 1)) != 50 || len(pick(all, 60, 1)) != 50 {
		t.Error("0 and more than there are do not mean all")
	}
}

// All but what reading the calibration's text shows is refused before the model draws one: there is no folder to draw it into.
func TestBadQuantizeFlags(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.qat")
	env := []string{"TMPDIR=" + filepath.Join(t.TempDir(), "no-folder")}
	short := filepath.Join(t.TempDir(), "short.txt")
	if err := os.WriteFile(short, []byte("Once upon a time"), 0o666); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		`method "gtpq": want some of rtn, `:                                          {"--method", "clip+gtpq"},
		"alpha is 2, want 0 to 1":                                                    {"--method", "smoothquant", "--smooth-alpha", "2"},
		"alpha is -0.5, want 0 to 1":                                                 {"--method", "smoothquant", "--smooth-alpha=-0.5"},
		"alpha is NaN, want 0 to 1":                                                  {"--method", "smoothquant", "--smooth-alpha", "NaN"},
		"--threads: cpu: 100000 threads; want 1 to 1024":                             {"--method", "gptq", "--threads", "100000"},
		"--threads: cpu: 1025 threads; want 1 to 1024":                               {"--threads", "1025"},
		"want text in UTF-8":                                                         {"--method", "gptq", "--calibrate", floatDemo},
		"(LLMQAT_CALIBRATE): --method clip looks at no text":                         {"--method", "clip", "--calibrate", short, "--calibration-length", "9"},
		"--calibration-samples 128 (LLMQAT_CALIBRATION_SAMPLES): --method rtn looks": {"--calibration-samples", "128"},
		"--calibration-length 0 (LLMQAT_CALIBRATION_LENGTH): --method hadamard+clip": {"--calibration-length", "0", "--method", "hadamard+clip"},
		"no-file": {"--method", "gptq", "--calibrate", "no-file"},
		"--calibration-length 513: want 2 to 512":            {"--method", "gptq", "--calibration-length", "513"},
		"--calibration-samples -1: want":                     {"--method", "gptq", "--calibration-samples=-1"},
		"--method clip: awq, clip, gptq and qoq are about":   {"--method", "clip", "--bits", "16-16-4"},
		"--method gptq: awq, clip, gptq and qoq are about":   {"--method", "gptq", "--bits", "16-16-4"},
		"--smooth-alpha 0.5: that is smoothquant's":          {"--method", "awq", "--smooth-alpha", "0.5"},
		"--calibration-length 512: 5 tokens fill no window":  {"--method", "gptq", "--calibrate", short},
		"--method: method \"\": want some of rtn, clip, smo": {"--method", "rtn+"},
	} {
		if _, log, status := llmqat(t, env, append([]string{"quantize", "--model", floatDemo, "--out", path}, args...)...); status == 0 || !strings.Contains(log, want) {
			t.Errorf("%v: status %d, want another and %q in: %s", args, status, want, log)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused command wrote a file")
	}
}

// What cannot be written is refused before anything is computed for it, a model's own file first of all.
func TestQuantizeToABadPlace(t *testing.T) {
	model := filepath.Join(t.TempDir(), "float.qat")
	data, err := os.ReadFile(floatDemo)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(model, data, 0o666); err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]string{
		model: "the model is read from this file: write to another one",
		filepath.Join(t.TempDir(), "no-folder", "m.qat"): "no-folder",
		t.TempDir(): "regular file",
	} {
		_, log, status := llmqat(t, nil, "quantize", "--model", model, "--out", out, "--method", "gptq", "--calibration-samples", "2", "--calibration-length", "8")
		if status == 0 || !strings.Contains(log, want) || strings.Contains(log, "calibration:") {
			t.Errorf("%s: status %d, want another and %q, before the calibration, in: %s", out, status, want, log)
		}
	}
	if now, err := os.ReadFile(model); err != nil || !bytes.Equal(now, data) {
		t.Errorf("the model was changed: %v", err)
	}
}
