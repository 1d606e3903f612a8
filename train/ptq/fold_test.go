package ptq

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

func student(t testing.TB, src format.Source, q qat.Quantization, steps Steps) *nn.Model {
	t.Helper()
	m, err := nn.New(device(t, 2), src, nn.Options{Quantization: q, Steps: steps.Of, MaxTokens: 64, MaxLength: 64})
	if err != nil {
		t.Fatal(err)
	}
	m.Prepare()
	return m
}

// divergence is KL(teacher ‖ student), in nats a token.
func divergence(t testing.TB, student, teacher *nn.Model, tokens [][]int32) float64 {
	t.Helper()
	var sum nn.Stats
	for _, s := range tokens {
		one, err := student.Evaluate(teacher, nn.Batch{s}, nn.Loss{})
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(one)
	}
	return sum.KL / float64(sum.Tokens)
}

// outliers gives a model what trained ones have: norms with a few large weights, and
// keys, values and gates with large channels, where queries are the smaller.
func outliers(m *Model) *Model {
	for l := range m.config.NumHiddenLayers {
		m.of(l, "input_layernorm.weight").v[7] = 20
		m.of(l, "post_attention_layernorm.weight").v[3] = -25
		for h := range m.config.NumKeyValueHeads {
			m.of(l, "self_attn.k_proj.weight").scaleRow(h*m.config.HeadDim+4, 20)
		}
		for h := range m.config.NumAttentionHeads {
			m.of(l, "self_attn.q_proj.weight").scaleRow(h*m.config.HeadDim+4, 0.1)
		}
		m.of(l, "self_attn.v_proj.weight").scaleRow(2, 10)
		m.of(l, "mlp.up_proj.weight").scaleRow(30, 15)
	}
	m.tensor(format.NormName).v[1] = 3
	return m
}

var folds = []string{"hadamard", "smoothquant", "smooth-attention", "awq", "qoq"}

// Folds change logits by no more than what weights lose when they are rounded to
// float32, 2⁻²⁴ of themselves: outliers make attention's scores as large as some
// hundreds, which lose 1e-5 each time and move the weights of values by that part. 1e-4
// of the largest logit leaves room for three layers.
func TestFoldsKeepTheFunction(t *testing.T) {
	for _, tied := range []bool{false, true} {
		m := outliers(load(t, tiny(tied)))
		c := calibration(t, m)
		ids := c.Tokens[3]
		want := logits(m, ids)
		top := 0.0
		for _, row := range want {
			top = max(top, slices.Max(row), -slices.Min(row))
		}
		teacher := student(t, m, float32s, nil)
		for _, method := range append(folds, "hadamard+smoothquant+smooth-attention+awq+qoq") {
			f := m.clone()
			apply(t, f, method, c, setting(t, "4-8-4", quant.KVHeadZP))
			for i, row := range logits(f, ids) {
				for j, v := range row {
					if !(math.Abs(v-want[i][j]) <= 1e-4*top) {
						t.Fatalf("tied=%v %s: logit %d of token %d is %v, want %v", tied, method, j, i, v, want[i][j])
					}
				}
			}
			// The trainer's logits agree to float32: KL is of the square of that, and
			// itself a float32 sum.
			if kl := divergence(t, student(t, f, float32s, nil), teacher, c.Tokens[:10]); !(math.Abs(kl) <= 1e-5) {
				t.Errorf("tied=%v %s: KL %v to the model it was made of", tied, method, kl)
			}
			changed := 0
			for name, w := range m.tensors {
				if !slices.Equal(w.v, f.tensor(name).v) {
					changed++
				}
			}
			if changed < 2*m.config.NumHiddenLayers {
				t.Errorf("tied=%v %s changed %d tensors", tied, method, changed)
			}
		}
	}
}

// A tied head stays tied where the last norm does nothing.
func TestRotateUnties(t *testing.T) {
	for _, w := range []float32{1, 1.5} {
		m := load(t, tiny(true))
		norm := m.tensor(format.NormName).v
		for i := range norm {
			norm[i] = w
		}
		m.Rotate(1, RotateValues)
		_, own := m.tensors[format.LMHeadName]
		if tied := m.Config().TieWordEmbeddings; tied != (w == 1) || own == tied {
			t.Errorf("norm %v: tied %v, a head of its own %v", w, tied, own)
		}
		for _, s := range m.Config().Tensors() {
			if s.In == 0 && !ones(m.tensor(s.Name).v) {
				t.Errorf("%s is not 1", s.Name)
			}
		}
	}
}

// R2 mixes the rows of each head of v_proj, which R1 leaves alone, and the other way with
// the columns; all the same attention's values are of the same size.
func TestRotations(t *testing.T) {
	m := outliers(load(t, tiny(true)))
	m.foldNorms()
	c := m.config
	for _, what := range []Rotations{RotateStream, RotateValues} {
		f := m.clone()
		f.Rotate(1, what)
		before, after := m.of(1, "self_attn.v_proj.weight"), f.of(1, "self_attn.v_proj.weight")
		kept := 0
		for h := range c.NumKeyValueHeads {
			sum, turned := 0.0, 0.0
			for i := h * c.HeadDim; i < (h+1)*c.HeadDim; i++ {
				x, y := widen(before.row(i)), widen(after.row(i))
				sum, turned = sum+dot(x, x), turned+dot(y, y)
				if near(dot(y, y), dot(x, x)) {
					kept++
				}
			}
			if !near(turned, sum) {
				t.Errorf("rotation %d: head %d of v_proj has Σw² of %v, %v before", what, h, turned, sum)
			}
		}
		if all := c.NumKeyValueHeads * c.HeadDim; (kept == all) != (what == RotateStream) {
			t.Errorf("rotation %d: %d of v_proj's %d rows are as long as before", what, kept, all)
		}
	}
}

// What a fold is for gets smaller: the distance to the model itself, where nothing but
// what it is meant to help is rounded.
func TestFoldsHelp(t *testing.T) {
	config := tiny(false)
	config.HeadDim = 16
	m := outliers(load(t, config))
	c := calibration(t, m)
	teacher := student(t, m, float32s, nil)
	for _, f := range []struct {
		method, bits string
		scheme       quant.KVScheme
	}{
		{"hadamard", "8-4-16", quant.KVHeadZP},
		{"smoothquant", "8-4-16", quant.KVHeadZP},
		{"qoq", "8-16-4", quant.KVHead},
		{"smooth-attention", "16-16-4", quant.KVHead},
		{"awq", "8-4-16", quant.KVHeadZP},
		{"awq", "4-16-16", quant.KVHeadZP},
	} {
		q := setting(t, f.bits, f.scheme)
		folded := m.clone()
		apply(t, folded, f.method, c, q)
		before := divergence(t, student(t, m, q, nil), teacher, c.Tokens[:20])
		after := divergence(t, student(t, folded, q, nil), teacher, c.Tokens[:20])
		if !(after < 0.9*before) {
			t.Errorf("%s at %s: KL %v, %v without", f.method, f.bits, after, before)
		} else {
			t.Logf("%s at %s: KL %v, %v without", f.method, f.bits, after, before)
		}
	}
}

// SmoothQuant's formula, on channels whose sizes are known, one of them never used.
func TestSmoothing(t *testing.T) {
	s := smoothing([]float64{16, 0, 1, 16}, []float64{256, 1, 0, 16}, 0.75)
	if want := []float64{2, 1, 1, 4}; !slices.Equal(s, want) {
		t.Errorf("factors %v, want %v", s, want)
	}
	// Four query heads of six share two heads of values.
	m := load(t, tiny(true))
	n, of := m.channels(0, &groups[1])
	if want := []int{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 6, 7, 8, 9, 10, 11}; n != 12 || !slices.Equal(of, want) {
		t.Errorf("%d channels, columns are of %v", n, of)
	}
}

// Every scale that AWQ tries is compared by the outputs' error, here in float64.
func TestOutputsChange(t *testing.T) {
	m := outliers(load(t, tiny(true)))
	w := m.of(1, "mlp.up_proj.weight")
	x := load(t, tiny(true)).of(2, "mlp.gate_proj.weight") // [36, 24]: as good as activations
	s, of := make([]float64, 24), make([]int, 24)
	for i := range s {
		s[i], of[i] = 0.5+float64(i)/8, i
	}
	for _, bits := range []quant.Bits{{W: 4, A: 8}, {W: 4, A: 16}, {W: 8, A: 4}} {
		o, err := newOutputs(device(t, 2), x.v, w, bits)
		if err != nil {
			t.Fatal(err)
		}
		got := o.change(s, of)
		want := 0.0
		for t := range x.rows {
			for r := range w.rows {
				xs, ws := make([]float32, 24), make([]float32, 24)
				for j := range s {
					xs[j], ws[j] = float32(float64(x.row(t)[j])/s[j]), float32(float64(w.row(r)[j])*s[j])
				}
				y := dot(widen(x.row(t)), widen(w.row(r)))
				q := make([]int8, 24)
				scale, _ := quant.WeightRow(q, ws, bits.W)
				for j, v := range q {
					ws[j] = float32(v) * scale
				}
				if bits.A < 16 {
					scale, _, _ := quant.Activations(q, xs, bits.A)
					for j, v := range q {
						xs[j] = float32(v) * scale
					}
				}
				d := y - dot(widen(xs), widen(ws))
				want += d * d
			}
		}
		// The difference of two float32s of 24 products each: 1e-6 of outputs near 10.
		if !(math.Abs(got-want) <= 1e-3*want) {
			t.Errorf("%v: Σ(x·w - x̂·ŵ)² is %v, want %v", bits, got, want)
		}
	}
}

func TestModelIsASource(t *testing.T) {
	m := load(t, tiny(false))
	src := noise{tiny(false)}
	for _, s := range src.c.Tensors() {
		rows, cols := s.Out, s.In
		if s.In == 0 {
			rows, cols = 1, s.Out
		}
		got, want := make([]float32, cols), make([]float32, rows*cols)
		if err := src.ReadRows(want, s.Name, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.ReadRows(got, s.Name, rows-1); err != nil || !slices.Equal(got, want[(rows-1)*cols:]) {
			t.Errorf("%s: the last row is %v, %v", s.Name, got, err)
		}
	}
	if _, err := Load(broken{src}); err == nil {
		t.Error("a source that cannot be read is loaded")
	}
}

type broken struct{ noise }

func (broken) ReadRows([]float32, string, int) error { return context.DeadlineExceeded }
