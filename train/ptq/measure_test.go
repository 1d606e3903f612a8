package ptq

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

const windowTokens = 256

// trained opens a trained model, and cuts a text that it can go on with into windows.
func trained(t testing.TB, model string) (format.Source, [][]int32) {
	t.Helper()
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no trained models")
	}
	src, err := source.Open(filepath.Join(dir, "hf", model), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	text, err := os.ReadFile(filepath.Join(dir, "text", "tinystories.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids := src.Tokenizer().Encode(string(text))
	var windows [][]int32
	for ; len(ids) >= windowTokens; ids = ids[windowTokens-1:] {
		w := append([]int32{src.Tokenizer().BOS()}, ids[:windowTokens-1]...)
		windows = append(windows, w)
	}
	return src, windows
}

// passOver reads a model for passes over two windows.
func passOver(t testing.TB, d *cpu.Device, src format.Source, q qat.Quantization, steps Steps) *nn.Model {
	t.Helper()
	m, err := nn.New(d, src, nn.Options{Quantization: q, Steps: steps.Of, MaxTokens: 2 * windowTokens, MaxLength: windowTokens})
	if err != nil {
		t.Fatal(err)
	}
	m.Prepare()
	return m
}

// compare sums up a student on windows.
func compare(t testing.TB, student, teacher *nn.Model, windows [][]int32) (sum nn.Stats) {
	t.Helper()
	for ; len(windows) >= 2; windows = windows[2:] {
		s, err := student.Evaluate(teacher, nn.Batch{windows[0], windows[1]}, nn.Loss{})
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(s)
	}
	return sum
}

// TestMethods measures what each method is worth at 4-8-4 on a trained model: nats a
// token between its distribution and that of the same model unrounded, on held-out text.
// The folds are for outliers, which this model of 64 channels in heads of 8 does not
// have: they are measured, and not expected to help.
func TestMethods(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	src, windows := trained(t, "stories260K")
	held, seen := windows[:64], windows[64:128]
	d := device(t, 2)
	q := setting(t, "4-8-4", quant.KVHeadZP)
	teacher := passOver(t, d, src, float32s, nil)
	nearest := math.Inf(1)
	for _, c := range []struct {
		method string
		helps  bool
	}{
		{"rtn", false}, {"clip", true}, {"smoothquant", false}, {"hadamard", false}, {"gptq", true}, {"awq", false},
		{"qoq", false}, {"clip+gptq", true}, {"awq+clip+act-order", true},
	} {
		m, err := Load(src)
		if err != nil {
			t.Fatal(err)
		}
		steps := apply(t, m, c.method, &Calibration{Device: d, Tokens: seen}, q)
		s := compare(t, passOver(t, d, m, q, steps), teacher, held)
		n := float64(s.Tokens)
		kl := s.KL / n
		t.Logf("%-20s KL %.4f nats a token, perplexity %.3f (unrounded %.3f), same token %.3f",
			c.method, kl, math.Exp(s.CE/n), math.Exp(s.TeacherCE/n), s.Same/n)
		if c.method == "rtn" {
			nearest = kl
		}
		if c.helps && !(kl < nearest) {
			t.Errorf("%s: KL %v, rounded to nearest %v", c.method, kl, nearest)
		}
	}
}
