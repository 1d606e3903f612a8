//go:build cuda

package bench

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/runtime/device"
)

// onGPU skips where there is neither a GPU nor a driver that makes one up, which gets so
// much memory.
func onGPU(t *testing.T) Options {
	t.Helper()
	if os.Getenv("LLMQAT_LIBCUDA") != "" {
		t.Setenv("LLMQAT_FAKECUDA", "memory=268435456")
	}
	d, err := device.Open("cuda", 1)
	if err != nil && os.Getenv("LLMQAT_LIBCUDA") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	return Options{Device: "cuda", Shape: "stories260k", Prompts: []int{20}, Pass: 16, Contexts: []int{30}, Batches: []int{1, 3}, Decode: 2, Repeats: 1, Cache: t.TempDir()}
}

// table returns what people see.
func table(t *testing.T, r Output) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	if err := r.Chart(&b, "svg"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRunOnGPU(t *testing.T) {
	r, err := Run(t.Context(), onGPU(t))
	if err != nil {
		t.Fatal(err)
	}
	c := r.Machine.Ceilings[0]
	if r.Machine.GPU == "" || c.ReadBandwidth <= 0 || c.Int8Peak <= 0 || c.Int8W8Peak <= 0 || c.Float16Peak <= 0 || c.Float32Peak != 0 || c.Threads != 0 {
		t.Errorf("%+v", r.Machine)
	}
	for _, m := range r.Models {
		if p := m.Prefill[0]; p.PerSec <= 0 || p.MACRate != p.PerSec*float64(m.MACs) || p.Threads != 0 {
			t.Errorf("%+v", p)
		}
		// Of two sequences more, each reads its context, of 31 tokens on the mean.
		if d := m.Decode[1]; d.Batch != 3 || math.Abs(d.ByteRate*3/d.PerSec-float64(m.WeightBytes+3*31*m.KVTokenBytes)) > 1 {
			t.Errorf("%+v", d)
		}
		if m.Startup.FirstToken <= 0 {
			t.Errorf("first token after %v", m.Startup.FirstToken)
		}
	}
	text := table(t, r)
	for _, want := range []string{r.Machine.GPU, "cuda/sm_", "int8 mma peak", "% of float16 mma", "multiplied", "mma.sync", "no energy: a GPU's"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}

// Operators are measured one by one; attention of a batch too, which one sequence cannot
// stand for.
func TestMicroOnGPU(t *testing.T) {
	o := onGPU(t)
	r, err := RunMicro(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]bool{}
	for _, s := range r.Sections {
		for _, op := range s.Operators {
			labels[op.label()] = true
			if op.Seconds <= 0 || op.Bound != "" && op.Share <= 0 {
				t.Errorf("%s %s: %+v", s.Kind, s.Format, op)
			}
		}
	}
	for _, want := range []string{"qkv, 3 tokens", "decode, 1 token at 30", "decode, 3 tokens at 30", "prefill, 16 tokens at 30", "draw, top-p 0.95, 3 tokens", "no work: a launch"} {
		if !labels[want] {
			t.Errorf("there is no %q: %v", want, labels)
		}
	}
	if labels["sampling, greedy"] {
		t.Error("the host's sampling is held against the GPU")
	}
	if text := table(t, r); !strings.Contains(text, "float16 mma peak") {
		t.Errorf("the table:\n%s", text)
	}
}

// Each kernel has its time, and belongs to an operator.
func TestProfileOnGPU(t *testing.T) {
	r, err := RunProfile(t.Context(), onGPU(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Steps {
		for _, row := range s.Rows {
			launches := 0
			for _, k := range row.Kernels {
				launches += k.Launches
				if k.Name == "" || k.Seconds <= 0 {
					t.Errorf("%s, %s, %s: %+v", s.Model, s.What, row.label(), k)
				}
			}
			if launches < row.Calls || row.Name == "other" {
				t.Errorf("%s, %s, %s: %d launches of %d calls", s.Model, s.What, row.label(), launches, row.Calls)
			}
		}
	}
	if text := table(t, r); !strings.Contains(text, "RMSNorm, 3 tokens: rms_norm") {
		t.Errorf("the table:\n%s", text)
	}
}

func TestGenerateOnGPU(t *testing.T) {
	r, err := RunGenerate(t.Context(), onGPU(t), Workload{3, 5, 8})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		if m.PerSec <= 0 || m.Share <= 0 || m.Held != 3 {
			t.Errorf("%+v", m)
		}
	}
}

// What does not fit is refused with the sums, before anything is allocated.
func TestGPUTooSmall(t *testing.T) {
	o := onGPU(t)
	if os.Getenv("LLMQAT_LIBCUDA") == "" {
		t.Skip("a real GPU")
	}
	o.Batches = []int{16}
	o.Contexts = []int{100_000}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "of the GPU are free: shorten --context") ||
		!strings.Contains(err.Error(), "KV caches of 16 sequences of 100002 tokens 1.54 GB") {
		t.Errorf("error %v", err)
	}
	o.Contexts, o.Prompts = []int{3_000_000}, []int{8}
	if _, err := RunMicro(t.Context(), o); err == nil || !strings.Contains(err.Error(), "are free: shorten --context") {
		t.Errorf("error %v", err)
	}
	o = onGPU(t)
	o.Threads = []int{1, 2}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--device cpu") {
		t.Errorf("error %v", err)
	}
}
