package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// gateSpy is a device that works out again what was rounded, where a backward operator
// is given that operator's gradient, and wants the gradient gated.
type gateSpy struct {
	kernels.TrainDevice
	t     *testing.T
	gate  float64
	sites map[string]int
}

func (s *gateSpy) scratch(rows, cols int) kernels.Floats {
	f, err := kernels.NewFloats(s.TrainDevice, rows, cols)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// gated wants dx to be 0, up to tol, where |x| is the gate or more, and seldom elsewhere.
func (s *gateSpy) gated(site string, dx, x kernels.Floats, tol float64) {
	s.t.Helper()
	s.sites[site]++
	closed, open, zeros := 0, 0, 0
	was := values(s.TrainDevice, x)
	for i, g := range values(s.TrainDevice, dx) {
		v, zero := math.Abs(float64(was[i])), math.Abs(float64(g)) <= tol
		switch {
		case math.Abs(v-s.gate) < 1e-4*s.gate: // on which side is up to the order of sums
		case v < s.gate && zero:
			zeros++
		case v < s.gate:
			open++
		case !zero:
			s.t.Fatalf("%s: gradient %v of %v", site, g, was[i])
		default:
			closed++
		}
	}
	if closed == 0 || open == 0 || zeros > open/4 {
		s.t.Errorf("%s: %d gradients are closed, %d open and %d of those 0", site, closed, open, zeros)
	}
}

func (s *gateSpy) RMSNormGrad(dx kernels.Floats, dw kernels.Buf[float32], dy, x kernels.Floats, w kernels.Buf[float32], eps float32) {
	if s.sites["all"]++; s.sites["all"] > 1 { // the first is that in front of lm_head
		y := s.scratch(x.Rows, x.Cols)
		s.RMSNorm(asRows(y), x, w, eps)
		s.gated(fmt.Sprintf("norm %d", s.sites["all"]%2), dy, y, 0)
	}
	s.TrainDevice.RMSNormGrad(dx, dw, dy, x, w, eps)
}

func (s *gateSpy) SwiGLUGrad(dGateUp, dy, gateUp kernels.Floats) {
	y := s.scratch(dy.Rows, dy.Cols)
	s.SwiGLU(asRows(y), gateUp)
	s.gated("SwiGLU", dy, y, 0)
	s.TrainDevice.SwiGLUGrad(dGateUp, dy, gateUp)
}

func (s *gateSpy) CausalAttentionGrad(dq, dk, dv, dout, stats, q, k, v kernels.Floats, seqs kernels.Sequences) {
	y := s.scratch(dout.Rows, dout.Cols)
	s.CausalAttention(y, stats, q, k, v, seqs)
	s.gated("attention", dout, y, 0)
	s.TrainDevice.CausalAttentionGrad(dq, dk, dv, dout, stats, q, k, v, seqs)
}

// The gradient of all that is rounded is 0 where that is the gate or more from 0, and
// what is rounded is worked out here by the forward operators themselves.
func TestGate(t *testing.T) {
	const gate = 0.5
	c := tiny(false)
	b := batch(rand.New(rand.NewPCG(6, 1)), c.VocabSize, 30, 9)
	for _, scheme := range []quant.KVScheme{quant.KVToken, quant.KVHead} {
		for _, recompute := range []bool{false, true} {
			spy := &gateSpy{device(t, 2), t, gate, map[string]int{}}
			teacher := model(t, spy.TrainDevice, noise{c, 1}, Options{Quantization: float16s})
			o := Options{Quantization: setting(t, "4-8-4", scheme, 16), Train: true, Gate: gate, Recompute: recompute}
			m := model(t, spy, noise{c, 2}, o)
			m.ClearGrads()
			if _, err := m.Step(teacher, b, Loss{Soft: 1, Weight: 1}); err != nil {
				t.Fatal(err)
			}
			for _, site := range []string{"norm 0", "norm 1", "SwiGLU", "attention"} {
				if n := spy.sites[site]; n != c.NumHiddenLayers {
					t.Errorf("%v: %d gradients of %s, want %d", scheme, n, site, c.NumHiddenLayers)
				}
			}
			// The pass's gradients are now layer 0's, those of k turned back.
			p, l := &m.pass, &m.layers[0]
			qkv := spy.scratch(p.ids.N, m.shape.queries()+2*m.shape.keys())
			spy.MatMul(qkv, m.actsOf(0).in, l.qkv.hat, kernels.MatMulNT, false)
			_, k, v := m.shape.split(qkv)
			_, dk, dv := m.shape.split(p.grads.qkv)
			if scheme != quant.KVToken {
				spy.Rotate(k, p.positions, p.rope, false)
				spy.Rotate(dk, p.positions, p.rope, false)
			}
			spy.gated("k", dk, k, 1e-6*float64(slices.Max(values(spy, dk))))
			spy.gated("v", dv, v, 0)
			before := values(spy, l.down.Grad)
			m.FinishGrads()
			for i, w := range values(spy, l.down.W) {
				if got, want := values(spy, l.down.Grad.Part(i/c.IntermediateSize, i/c.IntermediateSize+1))[i%c.IntermediateSize], before[i]; (math.Abs(float64(w)) >= gate) != (got == 0) || got != 0 && got != want {
					t.Fatalf("weight %v: gradient %v of %v", w, got, want)
				}
			}
		}
	}
}

// What is not rounded has no gate.
func TestGateOfFloats(t *testing.T) {
	d, c := device(t, 2), tiny(false)
	b := batch(rand.New(rand.NewPCG(7, 1)), c.VocabSize, 20)
	teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s})
	var want []float32
	for _, gate := range []float64{0, 0.01} {
		m := model(t, d, noise{c, 2}, Options{Quantization: float16s, Train: true, Gate: gate})
		m.ClearGrads()
		if _, err := m.Step(teacher, b, Loss{Soft: 1, Weight: 1}); err != nil {
			t.Fatal(err)
		}
		m.FinishGrads()
		var got []float32
		for _, p := range m.Params() {
			got = append(got, values(d, p.Grad)...)
		}
		if want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Error("gradients of a model in floats depend on the gate")
		}
	}
}
