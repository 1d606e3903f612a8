package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train"
)

func klOf(v float64) *eval.Result {
	return &eval.Result{Comparison: &eval.Comparison{KL: eval.Estimate{Value: v}}}
}

// A row has each number in its column, and the part of the gap that is closed.
func TestReportTable(t *testing.T) {
	model := func(kl, ppl, top1 float64) *eval.Result {
		return &eval.Result{Perplexity: eval.Estimate{Value: ppl}, Comparison: &eval.Comparison{
			KL: eval.Estimate{Value: kl, SE: 0.0025}, Top1: eval.Estimate{Value: top1}, TeacherPerplexity: eval.Estimate{Value: 3.5},
		}}
	}
	r := reported{Run: "a", KVBytes: 320, Tokens: 1_234_567, result: result{RTN: model(0.8, 9, 0.5), Student: model(0.1, 4, 0.875)}}
	r.Config = train.Config{Steps: 600, LearningRate: 3e-3, Start: "clip", Quantization: qat.Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP}}
	exact := r // 16-16-16: rounding takes nothing
	exact.result = result{RTN: model(0, 3.5, 1), Student: model(0, 3.5, 1)}
	var b bytes.Buffer
	if err := table(&b, []reported{r, exact}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	const want = "| a | 4-8-4 | head-zp, 320 | clip | 600 | 1.23 M | 0.003 | 0.8000 | **0.1000** ± 0.0025 | 87.5 % | 9.000 | **4.000** | 3.500 | 50.0 % | **87.5 %** |"
	if len(lines) != 4 || lines[2] != want || !strings.Contains(lines[3], "| **0.0000** ± 0.0025 | – |") {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for _, l := range lines {
		if strings.Count(l, "|") != strings.Count(want, "|") {
			t.Errorf("a line with another number of columns: %s", l)
		}
	}
}

func TestReportRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func(want string) {
		t.Helper()
		if _, err := readRun(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	refuse("no run is there")
	write("config.json", "{}")
	refuse("has not ended")
	write("result.json", "{")
	refuse("result.json: ")
	write("result.json", "{}")
	refuse("want what llmqat-train qat writes there")
	write("result.json", `{"rtn":{"kl":{"value":1}},"student":{"kl":{"value":1}}}`)
	refuse("student.qat")
	c := reportCmd{Runs: []string{dir}, Curves: filepath.Join(dir, "x.gif")}
	write("log.jsonl", `{"step":1,"kl":0.5,"held":true}`+"\n")
	if err := c.draw(); err == nil || !strings.Contains(err.Error(), ".svg or .png") {
		t.Errorf("error %v", err)
	}
	c.Curves = filepath.Join(dir, "x.svg")
	if err := c.draw(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(c.Curves); !bytes.Contains(b, []byte("held-out text")) || bytes.Contains(b, []byte("mean of 20")) {
		t.Error("want the panel that has lines, and no other")
	}
}
