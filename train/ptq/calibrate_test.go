package ptq

import (
	"context"
	"math"
	"testing"

	"github.com/llmqat/llmqat/train/nn"
)

// near is true of a float32 that long sums of float32s led to.
func near(got, want float64) bool { return math.Abs(got-want) <= 1e-4*math.Abs(want) }

// Each layer's Hessians are those of the reference's activations, of all passes.
func TestHessians(t *testing.T) {
	m := load(t, tiny(true))
	c := calibration(t, m)
	want := map[[2]int]*symmetric{}
	for _, s := range c.Tokens {
		forward(m, s, func(layer, group int, x []float64) {
			h := want[[2]int{layer, group}]
			if h == nil {
				h = newSymmetric(len(x))
				want[[2]int{layer, group}] = h
			}
			for i := range x {
				for j := range x {
					h.row(i)[j] += x[i] * x[j]
				}
			}
		})
	}
	if err := m.calibrate(context.Background(), c, "test", float32s, func(r *runner, layer int) error {
		if len(r.batches) < 2 {
			t.Error("all tokens fit one pass")
		}
		all, err := r.hessians(context.Background(), nn.WholeLayer, groups[:]...)
		if err != nil {
			return err
		}
		for i, h := range all {
			w := want[[2]int{layer, i}]
			for a := range w.n {
				for b := range w.n {
					// Off the diagonal terms cancel: the error is of their size.
					size := math.Sqrt(w.row(a)[a] * w.row(b)[b])
					if math.Abs(h.row(a)[b]-w.row(a)[b]) > 1e-4*size {
						t.Fatalf("layer %d, group %d: element %d, %d is %v, want %v", layer, i, a, b, h.row(a)[b], w.row(a)[b])
					}
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// The factors of each fold are those that its formula has for the reference's
// activations.
func TestFactors(t *testing.T) {
	m := outliers(load(t, tiny(true)))
	c := calibration(t, m)
	largest, sum := map[[2]int][]float64{}, map[[2]int][]float64{} // of channels
	for _, s := range c.Tokens {
		forward(m, s, func(layer, group int, x []float64) {
			n, of := 12, []int(nil)
			if group >= 0 {
				n, of = m.channels(layer, &groups[group])
			}
			at := [2]int{layer, group}
			if largest[at] == nil {
				largest[at], sum[at] = make([]float64, n), make([]float64, n)
			}
			for j, v := range x {
				if of != nil {
					j = of[j]
				}
				largest[at][j] = max(largest[at][j], math.Abs(v))
				sum[at][j] += math.Abs(v)
			}
		})
	}
	// factor is by how much a fold has divided a channel, as a multiple of channel 0's:
	// a layer's columns may have been scaled before its rows.
	factor := func(folded *Model, layer int, tail string, channel int) float64 {
		w, f := m.of(layer, tail), folded.of(layer, tail)
		at := func(c int) int {
			if w.rows == 1 {
				return c
			}
			return c * w.cols
		}
		return float64(w.v[at(channel)]) / float64(f.v[at(channel)]) * float64(f.v[0]) / float64(w.v[0])
	}
	smooth, outputs, attention, awq := m.clone(), m.clone(), m.clone(), m.clone()
	ctx := context.Background()
	q := setting(t, "4-8-16", "head-zp")
	if err := smooth.SmoothQuant(ctx, c, 0.7, q.Bits); err != nil {
		t.Fatal(err)
	}
	if err := outputs.SmoothOutputs(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := attention.SmoothAttention(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := awq.AWQ(ctx, c, q.Bits); err != nil {
		t.Fatal(err)
	}
	for l := range m.config.NumHiddenLayers {
		for i := range groups {
			g, at := &groups[i], [2]int{l, i}
			n, of := m.channels(l, g)
			weights := make([]float64, n)
			for _, tail := range g.to {
				w := m.of(l, tail)
				for j, v := range w.v {
					ch := of[j%w.cols]
					weights[ch] = max(weights[ch], math.Abs(float64(v)))
				}
			}
			// AWQ has one exponent a group: what two channels say of it must agree.
			ratio := math.Log(factor(awq, l, g.from, 1)) / math.Log(sum[at][1]/sum[at][0])
			exponent := math.Round(ratio*searchGrid) / searchGrid
			if !(exponent >= 0 && exponent < 1) || i == 0 && exponent == 0 {
				t.Errorf("awq: layer %d, %s: exponent %v", l, g.from, ratio)
			}
			folded, alpha := smooth, 0.7
			if i%2 == 1 { // what a block's last layers read
				folded, alpha = outputs, 0.1
			}
			scale := func(ch int) float64 { return math.Pow(largest[at][ch], alpha) / math.Pow(weights[ch], 1-alpha) }
			for ch := range n {
				if got, want := factor(folded, l, g.from, ch), scale(ch)/scale(0); !near(got, want) {
					t.Errorf("smoothing: layer %d, %s: channel %d is divided by %v, want %v", l, g.from, ch, got, want)
				}
				if got, want := factor(awq, l, g.from, ch), math.Pow(sum[at][ch]/sum[at][0], exponent); !near(got, want) {
					t.Errorf("awq: layer %d, %s: channel %d is divided by %v, want %v", l, g.from, ch, got, want)
				}
			}
		}
		keys := largest[[2]int{l, -1}]
		scale := func(ch int) float64 { return math.Pow(max(keys[ch], keys[ch/6*6+(ch%6+3)%6]), 0.5) }
		for ch := range keys {
			if got, want := factor(attention, l, "self_attn.k_proj.weight", ch), scale(ch)/scale(0); !near(got, want) {
				t.Errorf("smooth-attention: layer %d: K's channel %d is divided by %v, want %v", l, ch, got, want)
			}
		}
	}
}
