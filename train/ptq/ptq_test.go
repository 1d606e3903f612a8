package ptq

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
)

// noise is a source of random weights.
type noise struct{ c format.Config }

func (s noise) Config() *format.Config          { return &s.c }
func (s noise) ChatTemplate() string            { return "" }
func (s noise) Tokenizer() *tokenizer.Tokenizer { return nil }
func (s noise) DType(string) format.DType       { return format.F32 }
func (s noise) Close() error                    { return nil }
func (s noise) ReadRows(dst []float32, name string, first int) error {
	h := fnv.New64a()
	fmt.Fprint(h, name)
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(first)))
	for i := range dst {
		dst[i] = float32(r.NormFloat64() / math.Sqrt(float64(s.c.HiddenSize)))
		if strings.Contains(name, "norm") {
			dst[i]++
		} else if name == format.EmbedName {
			dst[i] *= 4
		}
	}
	return nil
}

// tiny has query heads that share KV heads, and no size that is a power of two.
func tiny(tied bool) format.Config {
	return format.Config{
		HiddenSize: 24, IntermediateSize: 36, NumHiddenLayers: 3, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 6,
		VocabSize: 40, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5, RopeTheta: 10000, TieWordEmbeddings: tied, BOSTokenID: 1,
	}
}

func load(t testing.TB, c format.Config) *Model {
	t.Helper()
	m, err := Load(noise{c})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *Model) clone() *Model {
	c := &Model{config: m.config, tensors: map[string]*matrix{}}
	for name, w := range m.tensors {
		c.tensors[name] = &matrix{w.rows, w.cols, slices.Clone(w.v)}
	}
	return c
}

func device(t testing.TB, workers int) *cpu.Device {
	t.Helper()
	d, err := cpu.New(workers, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func setting(t testing.TB, bits string, scheme quant.KVScheme) qat.Quantization {
	t.Helper()
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	return qat.Quantization{Bits: b, KVScheme: scheme, Float: qat.Float32, LMHeadBits: 16}
}

// tokens is random sequences, of several passes in all.
func tokens(c *format.Config, n int) [][]int32 {
	r := rand.New(rand.NewPCG(7, 1))
	all := make([][]int32, n)
	for i := range all {
		all[i] = make([]int32, 1+r.IntN(c.MaxPositionEmbeddings))
		for j := range all[i] {
			all[i][j] = int32(r.IntN(c.VocabSize))
		}
	}
	return all
}

func calibration(t testing.TB, m *Model) *Calibration {
	return &Calibration{Device: device(t, 2), Tokens: tokens(&m.config, 70)}
}

func apply(t testing.TB, m *Model, method string, c *Calibration, q qat.Quantization) Steps {
	t.Helper()
	r, err := Parse(method)
	if err != nil {
		t.Fatal(err)
	}
	r.Seed = 3
	steps, err := r.Apply(context.Background(), m, c, q)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// The same bits on any number of threads.
func TestThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	q := setting(t, "4-8-4", quant.KVHeadZP)
	const all = "hadamard+smoothquant+smooth-attention+awq+clip+act-order"
	var want *Model
	var steps Steps
	for _, n := range []int{1, 3} {
		runtime.GOMAXPROCS(n)
		m := load(t, tiny(true))
		c := &Calibration{Device: device(t, n), Tokens: tokens(&m.config, 70)}
		s := apply(t, m, all, c, q)
		if want == nil {
			want, steps = m, s
			continue
		}
		for name, w := range want.tensors {
			if !slices.Equal(m.tensor(name).v, w.v) {
				t.Errorf("%s depends on the number of threads", name)
			}
		}
		if !maps.EqualFunc(s, steps, slices.Equal) {
			t.Error("steps depend on the number of threads")
		}
	}
	applied := "hadamard R1 R2 seed=3, smoothquant alpha=searched, smooth-attention alpha=0.5, awq, clip, gptq act-order=true"
	if got := strings.Join(want.Applied(), ", "); got != applied {
		t.Errorf("applied %q, want %q", got, applied)
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Recipe{
		"rtn":                {},
		"smoothquant+clip":   {SmoothQuant: true, Clip: ClipByWeights},
		"clip+awq":           {AWQ: true, Clip: ClipByWeights},
		"hadamard+act-order": {Hadamard: RotateValues, GPTQ: true, ActOrder: true},
		"qoq+gptq":           {Hadamard: RotateStream, SmoothAttention: true, SmoothOutputs: true, Clip: ClipByOutputs, GPTQ: true},
		"hadamard+qoq":       {Hadamard: RotateValues, SmoothAttention: true, SmoothOutputs: true, Clip: ClipByOutputs},
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "gptq+", "gtpq"} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), "want some of rtn, ") {
			t.Errorf("Parse(%q): %v, want an error that lists the methods", s, err)
		}
	}
}

func TestApplyErrors(t *testing.T) {
	m := load(t, tiny(true))
	before := m.clone()
	w4, w16 := setting(t, "4-8-4", quant.KVHeadZP), setting(t, "16-16-4", quant.KVHeadZP)
	d := device(t, 1)
	with := func(s ...int32) *Calibration { return &Calibration{Device: d, Tokens: [][]int32{{1, 2}, s}} }
	for _, c := range []struct {
		r   Recipe
		c   *Calibration
		q   qat.Quantization
		say string
	}{
		{Recipe{GPTQ: true}, nil, w4, "no tokens"},
		{Recipe{SmoothQuant: true}, &Calibration{Device: d}, w4, "no tokens"},
		{Recipe{AWQ: true, Hadamard: RotateValues}, with(40), w4, "sequence 1 has token 40, want one of the vocabulary's 40"},
		{Recipe{AWQ: true}, with(-1), w4, "sequence 1 has token -1"},
		{Recipe{SmoothAttention: true}, with(), w4, "sequence 1 has 0 tokens"},
		{Recipe{SmoothAttention: true}, with(make([]int32, 65)...), w4, "sequence 1 has 65 tokens, want 1 to the model's 64"},
		{Recipe{SmoothQuant: true, SmoothAlpha: 1.5}, with(1), w4, "smoothquant: alpha is 1.5"},
		{Recipe{SmoothQuant: true, SmoothAlpha: math.NaN()}, with(1), w4, "smoothquant: alpha is NaN"},
		{Recipe{Clip: ClipByOutputs}, nil, w4, "no tokens"},
		{Recipe{Clip: ClipByWeights}, nil, w16, "these have 16"},
		{Recipe{GPTQ: true}, with(1), w16, "these have 16"},
	} {
		if _, err := c.r.Apply(context.Background(), m, c.c, c.q); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%+v: error %v, want one that says %s", c.r, err, c.say)
		}
	}
	for name, w := range before.tensors {
		if !slices.Equal(m.tensor(name).v, w.v) {
			t.Errorf("%s was changed by a recipe that failed at once", name)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, method := range []string{"gptq", "smoothquant", "awq", "smooth-attention", "qoq"} {
		c, calls := calibration(t, m), 0
		c.Progress = func(string, int, int) { calls++; cancel() }
		r, _ := Parse(method)
		if _, err := r.Apply(ctx, m, c, w4); err != context.Canceled && !strings.Contains(fmt.Sprint(err), "context canceled") || calls > 1 {
			t.Errorf("%s, stopped after a layer: %v, %d layers", method, err, calls)
		}
	}
	if _, err := m.Clip(ctx, 4); err != context.Canceled {
		t.Errorf("clip, stopped: %v", err)
	}
	m.of(1, "mlp.up_proj.weight").row(5)[2] = float32(math.Inf(1))
	if _, err := m.Clip(context.Background(), 4); err == nil || !strings.Contains(err.Error(), `model.layers.1.mlp.up_proj.weight": row 5`) {
		t.Errorf("an infinite weight: %v", err)
	}
}
