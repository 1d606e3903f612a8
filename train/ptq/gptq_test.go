package ptq

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// definite is a random positive definite matrix, of more samples than it has rows.
func definite(n int, seed uint64) *symmetric {
	r := rand.New(rand.NewPCG(seed, 0))
	h := newSymmetric(n)
	x, mixed := make([]float64, n), make([]float64, n)
	for range 2*n + 3 {
		for i := range x {
			x[i] = r.NormFloat64() * (1 + 3*float64(i%3))
		}
		for i := range mixed { // inputs that depend on each other
			mixed[i] = x[i] + x[(i+1)%n] + 0.5*x[(i*7)%n]
		}
		for i := range n {
			for j := range n {
				h.row(i)[j] += mixed[i] * mixed[j]
			}
		}
	}
	return h
}

// H·Uᵀ·U = 1: on and off blocks' borders.
func TestInvertedFactor(t *testing.T) {
	for _, n := range []int{1, 2, 5, factorBlock - 1, factorBlock, factorBlock + 1, 2*factorBlock + 2} {
		h := definite(n, 1)
		u := &symmetric{n, slices.Clone(h.v)}
		if !u.invertedFactor() {
			t.Fatalf("n=%d: no factor", n)
		}
		inverse := newSymmetric(n)
		for i := range n {
			for j := range n {
				for k := range min(i, j) + 1 {
					inverse.row(i)[j] += u.row(i)[k] * u.row(j)[k] // U[k,i]·U[k,j]
				}
			}
		}
		for i := range n {
			for j := range n {
				want := 0.0
				if i == j {
					want = 1
				}
				if got := dot(h.row(i), inverse.row(j)); math.Abs(got-want) > 1e-8 {
					t.Fatalf("n=%d: element %d, %d of H·H⁻¹ is %v", n, i, j, got)
				}
			}
		}
	}
	for _, bad := range [][]float64{{1, 2, 2, 1}, {0, 0, 0, 0}, {math.NaN(), 0, 0, 1}, {math.Inf(1), 0, 0, 1}} {
		if (&symmetric{2, bad}).invertedFactor() {
			t.Errorf("%v has a factor", bad)
		}
	}
}

// inverse is by Gauss and Jordan.
func inverse(h [][]float64) [][]float64 {
	n := len(h)
	a := make([][]float64, n)
	for i := range a {
		a[i] = append(slices.Clone(h[i]), make([]float64, n)...)
		a[i][n+i] = 1
	}
	for c := range n {
		for j := 2*n - 1; j >= c; j-- {
			a[c][j] /= a[c][c]
		}
		for r := range n {
			if r == c {
				continue
			}
			for j := 2*n - 1; j >= c; j-- {
				a[r][j] -= a[r][c] * a[c][j]
			}
		}
	}
	for i := range a {
		a[i] = a[i][n:]
	}
	return a
}

// naive rounds a row as Optimal Brain Quantization does in a given order: after each
// column the Hessian of what is left is inverted anew, O(n⁴) in all.
func naive(w []float32, h *symmetric, order []int, step, lo, hi float64) []float64 {
	v, out := widen(w), make([]float64, len(w))
	for len(order) > 0 {
		left := make([][]float64, len(order))
		for i, a := range order {
			for _, b := range order {
				left[i] = append(left[i], h.row(a)[b])
			}
		}
		inv := inverse(left)
		at := order[0]
		out[at] = step * min(max(math.RoundToEven(v[at]/step), lo), hi)
		e := (v[at] - out[at]) / inv[0][0]
		for i, b := range order[1:] {
			v[b] -= e * inv[0][i+1]
		}
		order = order[1:]
	}
	return out
}

func TestGPTQIsNaive(t *testing.T) {
	m := load(t, tiny(true))
	w := m.of(0, "mlp.gate_proj.weight")
	for _, byActivation := range []bool{false, true} {
		h := definite(w.cols, 2)
		damped := &symmetric{h.n, slices.Clone(h.v)}
		mean := 0.0
		order := make([]int, h.n)
		for i := range order {
			order[i] = i
			mean += h.row(i)[i] / float64(h.n)
		}
		for i := range order {
			damped.row(i)[i] += 0.01 * mean
		}
		if byActivation {
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(h.row(b)[b], h.row(a)[a]) })
		}
		c := newColumns(&symmetric{h.n, slices.Clone(h.v)}, byActivation)
		got := &matrix{w.rows, w.cols, slices.Clone(w.v)}
		steps := make([]float32, w.rows)
		for i := range steps {
			steps[i], _ = quant.WeightScale(w.row(i), 4)
			steps[i] *= 0.8 // some are cut off
		}
		steps[3] = 0
		c.round(got, steps, 4)
		plain, clever := 0.0, 0.0 // Σ (w-ŵ)ᵀ·H·(w-ŵ)
		for i, step := range steps {
			if i == 3 {
				if slices.Max(got.row(i)) != 0 || slices.Min(got.row(i)) != 0 {
					t.Errorf("a step of 0 gives %v", got.row(i))
				}
				continue
			}
			for j, want := range naive(w.row(i), damped, order, float64(step), -8, 7) {
				if x := float64(got.row(i)[j]); math.Abs(x-want) > 1e-6*float64(step) {
					t.Fatalf("byActivation=%v: row %d, column %d is %v steps, want %v", byActivation, i, j, x/float64(step), want/float64(step))
				}
			}
			q := make([]int8, w.cols)
			quant.WeightRowScaled(q, w.row(i), step, -8, 7)
			d1, d2 := make([]float64, w.cols), make([]float64, w.cols)
			for j, x := range w.row(i) {
				d1[j], d2[j] = float64(float32(q[j])*step-x), float64(got.row(i)[j]-x)
			}
			for j := range d1 {
				plain += d1[j] * dot(h.row(j), d1)
				clever += d2[j] * dot(h.row(j), d2)
			}
		}
		if !(clever < 0.8*plain) {
			t.Errorf("byActivation=%v: outputs change by %v, rounded to nearest by %v", byActivation, clever, plain)
		}
	}
}

// Weights are multiples of their steps to the bit, and each layer has been rounded for
// what the rounded model gives it: doing it again, on the inputs that the finished
// model has, comes to the same.
func TestGPTQGoesInOrder(t *testing.T) {
	q := setting(t, "4-8-4", quant.KVHeadZP)
	m := load(t, tiny(true))
	float := m.clone()
	c := calibration(t, m)
	steps := apply(t, m, "clip+gptq", c, q)
	again := 0
	if err := m.calibrate(context.Background(), c, "again", q, func(r *runner, layer int) error {
		for _, g := range groups {
			h, err := r.hessians(context.Background(), g.stage, g)
			if err != nil {
				return err
			}
			f := newColumns(h[0], false)
			for _, tail := range g.to {
				w := float.of(layer, tail)
				f.round(w, steps[format.LayerName(layer, tail)], 4)
				if !slices.Equal(w.v, m.of(layer, tail).v) {
					t.Errorf("layer %d: %s was rounded for other inputs than it has", layer, tail)
				}
				again++
			}
		}
		return r.run(context.Background(), func(nn.Inputs) error { return nil })
	}); err != nil {
		t.Fatal(err)
	}
	if again != 7*3 {
		t.Errorf("%d tensors rounded", again)
	}
	for name, step := range steps {
		w := m.tensor(name)
		ints := make([]int8, w.cols)
		for i := range w.rows {
			quant.WeightRowScaled(ints, w.row(i), step[i], -8, 7)
			for j, v := range ints {
				if float32(v)*step[i] != w.row(i)[j] {
					t.Fatalf("%s: row %d, column %d is %v, %d steps are %v", name, i, j, w.row(i)[j], v, float32(v)*step[i])
				}
			}
		}
	}
}

// Inputs that are never used, or all of them, are no reason to fail.
func TestGPTQOfUnusedInputs(t *testing.T) {
	for _, used := range []int{0, 3} {
		h := newSymmetric(5)
		for i := range used {
			h.row(i)[i] = 2
		}
		c := newColumns(h, true)
		if c == nil {
			t.Fatalf("%d inputs used: no factor", used)
		}
		w := &matrix{1, 5, []float32{0.9, -2.2, 3.4, 40, -0.6}}
		c.round(w, []float32{1}, 4)
		if want := []float32{1, -2, 3, 7, -1}; !slices.Equal(w.v, want) {
			t.Errorf("%d inputs used: %v, want %v", used, w.v, want)
		}
	}
}
