package nn

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
)

// noise is a source of random weights, others for each seed.
type noise struct {
	c    format.Config
	seed uint64
}

func (s noise) Config() *format.Config          { return &s.c }
func (s noise) ChatTemplate() string            { return "" }
func (s noise) Tokenizer() *tokenizer.Tokenizer { return nil }
func (s noise) DType(string) format.DType       { return format.F32 }
func (s noise) Close() error                    { return nil }
func (s noise) ReadRows(dst []float32, name string, first int) error {
	h := fnv.New64a()
	fmt.Fprint(h, name, s.seed)
	cols := s.c.HiddenSize
	if strings.Contains(name, "down_proj") {
		cols = s.c.IntermediateSize
	} else if strings.Contains(name, "o_proj") {
		cols = s.c.NumAttentionHeads * s.c.HeadDim
	}
	var r *rand.Rand
	for i := range dst {
		if i%cols == 0 {
			r = rand.New(rand.NewPCG(h.Sum64(), uint64(first+i/cols)))
		}
		dst[i] = float32(r.NormFloat64() / math.Sqrt(float64(cols)))
		if strings.Contains(name, "norm") {
			dst[i]++
		} else if name == format.EmbedName {
			dst[i] *= 4
		}
	}
	return nil
}

func tiny(tied bool) format.Config {
	return format.Config{
		HiddenSize: 24, IntermediateSize: 36, NumHiddenLayers: 3, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 6,
		VocabSize: 40, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5, RopeTheta: 10000, TieWordEmbeddings: tied, BOSTokenID: 1,
	}
}

func setting(t testing.TB, bits string, scheme quant.KVScheme, head int) qat.Quantization {
	t.Helper()
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	return qat.Quantization{Bits: b, KVScheme: scheme, Float: qat.Float32, LMHeadBits: head}
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

func model(t testing.TB, d kernels.TrainDevice, src format.Source, o Options) *Model {
	t.Helper()
	o.MaxTokens, o.MaxLength = 384, 64
	m, err := New(d, src, o)
	if err != nil {
		t.Fatal(err)
	}
	m.Prepare()
	return m
}

func batch(r *rand.Rand, vocab int, lengths ...int) (b Batch) {
	for _, n := range lengths {
		s := make([]int32, n)
		for i := range s {
			s[i] = int32(r.IntN(vocab))
		}
		b = append(b, s)
	}
	return b
}

// values is a copy of f without padding.
func values(d kernels.Memory, f kernels.Floats) []float32 {
	v := make([]float32, f.Rows*f.Cols)
	kernels.DownloadFloats(d, v, f)
	return v
}

var float16s = qat.Quantization{Bits: quant.Bits{W: 16, A: 16, KV: 16}, Float: qat.Float32, LMHeadBits: 16}

// The loss is a sum of float32s good to 1e-6 of about 1 each, and moves by 1e-3 of
// itself, so that both that error and the curvature stay within a few parts in a hundred.
func TestGradients(t *testing.T) {
	for _, tied := range []bool{false, true} {
		for _, recompute := range []bool{false, true} {
			testGradients(t, tied, recompute, Loss{Soft: 0.75, Weight: 0.01})
			testGradients(t, tied, recompute, Loss{Soft: 1, Weight: 0.001, Attention: 0.01})
			testGradients(t, tied, recompute, Loss{Soft: 1, Weight: 0.001, Hidden: 0.001})
		}
	}
}

func testGradients(t *testing.T, tied, recompute bool, loss Loss) {
	d := device(t, 2)
	c := tiny(tied)
	teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s, KeepMaps: true})
	m := model(t, d, noise{c, 2}, Options{Quantization: float16s, Train: true, Recompute: recompute})
	b := batch(rand.New(rand.NewPCG(1, 1)), c.VocabSize, 9, 64, 2, 1, 33)
	before := values(d, m.Params()[1].W)
	list, err := m.CheckGradients(teacher, b, loss)
	if err != nil || len(list) != len(m.Params()) {
		t.Fatalf("%d of %d parameters, %v", len(list), len(m.Params()), err)
	}
	for _, g := range list {
		if !(math.Abs(g.Ratio-1) < 0.03) {
			t.Errorf("tied=%v recompute=%v %+v %v: the loss grows by %v of the gradient's square along it", tied, recompute, loss, g.Param.Tensors, g.Ratio)
		}
	}
	if !slices.Equal(values(d, m.Params()[1].W), before) {
		t.Error("weights were left changed")
	}
}

// The same gradients with layers computed twice, in several passes instead of one, and
// on any number of threads: bits, but for what is summed in another order.
func TestGradientsDoNotDependOnMemory(t *testing.T) {
	c := tiny(true)
	b := batch(rand.New(rand.NewPCG(2, 1)), c.VocabSize, 30, 64, 7)
	grads := func(workers int, recompute bool) (all []float32) {
		d := device(t, workers)
		q := setting(t, "4-8-4", quant.KVHeadZP, 8)
		teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s, KeepMaps: true})
		m := model(t, d, noise{c, 2}, Options{Quantization: q, Train: true, Recompute: recompute, LearnSteps: true})
		m.ClearGrads()
		l := Loss{Soft: 1, Weight: 0.01, Attention: 0.01, Hidden: 0.01}
		stats, err := m.Step(teacher, b, l)
		if err != nil {
			t.Fatal(err)
		}
		m.FinishGrads()
		// A step adds up the layers from the last to the first, in float32.
		if s, err := m.Evaluate(teacher, b, l); err != nil || s.KL != stats.KL || s.Positions != 101 || !(math.Abs(s.Attention/stats.Attention-1) < 1e-6 && math.Abs(s.Hidden/stats.Hidden-1) < 1e-6) {
			t.Errorf("evaluated: %+v, of the step: %+v (%v)", s, stats, err)
		}
		for _, p := range m.Params() {
			all = append(all, values(d, p.Grad)...)
		}
		return all
	}
	want := grads(1, false)
	if !slices.Equal(grads(3, false), want) {
		t.Error("gradients depend on the number of threads")
	}
	if !slices.Equal(grads(2, true), want) {
		t.Error("gradients of layers computed twice differ")
	}
}

// A student that equals its teacher has no loss, and no gradient, but for the order in
// which the operators that serve it sum up.
func TestSameModel(t *testing.T) {
	d := device(t, 2)
	c := tiny(false)
	teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s, KeepMaps: true})
	m := model(t, d, noise{c, 1}, Options{Quantization: float16s, Train: true})
	b := batch(rand.New(rand.NewPCG(3, 1)), c.VocabSize, 40)
	m.ClearGrads()
	s, err := m.Step(teacher, b, Loss{Soft: 1, Weight: 1, Attention: 1, Hidden: 1})
	if err != nil || math.Abs(s.KL) > 1e-4 || math.Abs(s.Attention) > 1e-4 || s.Hidden > 1e-9 || s.Same != 39 || math.Abs(s.CE/s.TeacherCE-1) > 1e-6 || s.Tokens != 39 {
		t.Errorf("a copy has %+v, %v", s, err)
	}
	for _, p := range m.Params() {
		if top := slices.Max(values(d, p.Grad)); math.Abs(float64(top)) > 1e-4 {
			t.Errorf("%v: gradient %v of a copy", p.Tensors, top)
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	d := device(t, 2)
	c := tiny(true)
	teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s, KeepMaps: true})
	m := model(t, d, noise{c, 2}, Options{Quantization: setting(t, "4-8-4", quant.KVHead, 8), Train: true, LearnSteps: true, Gate: 2})
	b := batch(rand.New(rand.NewPCG(3, 1)), c.VocabSize, 40, 20)
	if n := testing.AllocsPerRun(5, func() {
		m.Prepare()
		m.ClearGrads()
		if _, err := m.Step(teacher, b, Loss{Soft: 1, Weight: 1, Attention: 1, Hidden: 1}); err != nil {
			t.Fatal(err)
		}
		m.FinishGrads()
	}); n != 0 {
		t.Errorf("%v allocations a step, want 0", n)
	}
}

// BytesOf says what New takes.
func TestBytesOf(t *testing.T) {
	halves := setting(t, "8-8-16", quant.KVHead, 16)
	halves.Float = qat.Float16
	for _, tied := range []bool{false, true} {
		for _, o := range []Options{{Quantization: float16s}, {Quantization: float16s, KeepMaps: true}, {Quantization: setting(t, "4-8-4", quant.KVHead, 8), Train: true}, {Quantization: setting(t, "8-8-4", quant.KVHead, 16), Train: true, Recompute: true}, {Quantization: setting(t, "4-8-4", quant.KVHead, 16), Train: true, Gate: 2}, {Quantization: halves, Train: true}, {Quantization: setting(t, "4-8-4", quant.KVToken, 16), Train: true, Compat: true}} {
			d := &allocated{TrainDevice: device(t, 1)}
			o.MaxTokens, o.MaxLength = 50, 32
			c := tiny(tied)
			if _, err := New(d, noise{c, 1}, o); err != nil {
				t.Fatal(err)
			}
			b, err := BytesOf(&c, o)
			if err != nil {
				t.Fatal(err)
			}
			// Steps of rows, a few bytes each, are not counted.
			if sum := b.Weights + b.Gradients + b.Rounded + b.Activations; sum > d.bytes || float64(sum) < 0.98*float64(d.bytes) {
				t.Errorf("tied=%v %+v: BytesOf says %+v, New took %d", tied, o, b, d.bytes)
			}
		}
	}
}

// allocated counts what is allocated.
type allocated struct {
	kernels.TrainDevice
	bytes int64
}

func (a *allocated) Alloc(n int) (kernels.Mem, error) {
	a.bytes += int64(n)
	return a.TrainDevice.Alloc(n)
}
