package ptq

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels/quant"
)

// activations are what each layer's groups read of all tokens, by the float64 reference.
func activations(m *Model, tokens [][]int32) map[[2]int][][]float64 {
	all := map[[2]int][][]float64{}
	for _, s := range tokens {
		forward(m, s, func(layer, group int, x []float64) {
			all[[2]int{layer, group}] = append(all[[2]int{layer, group}], slices.Clone(x))
		})
	}
	return all
}

// rounded returns a row in a number of bits, or as it is where that is 16.
func rounded(t *testing.T, row []float64, bits int, activation bool) []float64 {
	t.Helper()
	if bits == 16 {
		return row
	}
	narrow, q := make([]float32, len(row)), make([]int8, len(row))
	for j, v := range row {
		narrow[j] = float32(v)
	}
	scale, err := quant.WeightRow(q, narrow, max(bits, 4))
	if err != nil {
		t.Fatal(err)
	}
	if activation {
		scale, _, _ = quant.Activations(q, narrow, bits)
	}
	out := make([]float64, len(row))
	for j, v := range q {
		out[j] = float64(v) * float64(scale)
	}
	return out
}

// change is Σ(x·wᵀ - x̂·ŵᵀ)² of a group's layers on some tokens, with channels scaled.
func change(t *testing.T, m *Model, layer int, g *group, tokens [][]float64, s []float64, bits quant.Bits) (sum float64) {
	_, of := m.channels(layer, g)
	var x [][]float64
	for _, token := range tokens {
		v := make([]float64, len(token))
		for j := range v {
			v[j] = token[j] / s[of[j]]
		}
		x = append(x, rounded(t, v, bits.A, true))
	}
	for _, tail := range g.to {
		w := m.of(layer, tail)
		for r := range w.rows {
			row := widen(w.row(r))
			scaled := make([]float64, len(row))
			for j := range row {
				scaled[j] = row[j] * s[of[j]]
			}
			scaled = rounded(t, scaled, bits.W, false)
			for i, token := range tokens {
				d := dot(token, row) - dot(x[i], scaled)
				sum += d * d
			}
		}
	}
	return sum
}

// The scales that searches find are those that all of the grid tried one by one in
// float64 show to be the best.
func TestScalesAreTheBest(t *testing.T) {
	m := outliers(load(t, tiny(true)))
	c := calibration(t, m)
	bits := setting(t, "4-8-16", quant.KVHeadZP).Bits
	seen := activations(m, c.Tokens)
	awq, smooth := m.clone(), m.clone()
	if err := awq.AWQ(context.Background(), c, bits); err != nil {
		t.Fatal(err)
	}
	if err := smooth.SmoothQuant(context.Background(), c, 0, bits); err != nil {
		t.Fatal(err)
	}
	chosen := map[int]bool{}
	for l := range m.config.NumHiddenLayers {
		for i := range groups {
			g, x := &groups[i], seen[[2]int{l, i}]
			n, of := m.channels(l, g)
			sum, top, weights := make([]float64, n), make([]float64, n), make([]float64, n)
			for _, token := range x {
				for j, v := range token {
					sum[of[j]] += math.Abs(v)
					top[of[j]] = max(top[of[j]], math.Abs(v))
				}
			}
			for _, tail := range g.to {
				w := m.of(l, tail)
				for j, v := range w.v {
					ch := of[j%w.cols]
					weights[ch] = max(weights[ch], math.Abs(float64(v)))
				}
			}
			var some [][]float64 // every so-manieth token, as many as are looked at
			for at := 0; at < len(x); at += (len(x) + searchTokens - 1) / searchTokens {
				some = append(some, x[at])
			}
			for _, search := range []struct {
				name   string
				folded *Model
				scale  func(alpha float64, ch int) float64
				top    int // of 20
			}{
				{"awq", awq, func(a float64, ch int) float64 { return math.Pow(sum[ch], a) }, 19},
				{"smoothquant", smooth, func(a float64, ch int) float64 { return math.Pow(top[ch], a) / math.Pow(weights[ch], 1-a) }, 20},
			} {
				if search.name == "smoothquant" && i%2 == 1 {
					continue // it leaves these groups alone
				}
				best, least := 0, math.Inf(1)
				var errors []float64
				for k := range search.top + 1 {
					s := make([]float64, n)
					for ch := range s {
						s[ch] = search.scale(float64(k)/20, ch) / search.scale(float64(k)/20, 0)
					}
					e := change(t, m, l, g, some, s, bits)
					if errors = append(errors, e); e < least {
						best, least = k, e
					}
				}
				// Which exponent was taken two channels tell, of which neither is scaled otherwise.
				w, f := m.of(l, g.to[0]), search.folded.of(l, g.to[0])
				a, b := 0, slices.Index(of, 1)
				got := float64(f.row(0)[b]) / float64(w.row(0)[b]) * float64(w.row(0)[a]) / float64(f.row(0)[a])
				near, taken := math.Inf(1), 0
				for k := range errors {
					alpha := float64(k) / 20
					if d := math.Abs(math.Log(got / (search.scale(alpha, 1) / search.scale(alpha, 0)))); d < near {
						near, taken = d, k
					}
				}
				// float32 sums may take one of two that are as good.
				if near > 1e-3 || errors[taken] > 1.01*least {
					t.Errorf("%s: layer %d, %s: exponent %d/20, of an error of %v; the best is %d/20: %v", search.name, l, g.to[0], taken, errors[taken], best, least)
				}
				chosen[taken] = true
			}
		}
	}
	if len(chosen) < 3 {
		t.Errorf("exponents taken: %v", chosen)
	}
}

// ClipOutputs' steps are the best of the 40 by what a row gives on each of the tokens.
func TestClipOutputs(t *testing.T) {
	m := outliers(load(t, tiny(true)))
	clear(m.of(0, "mlp.up_proj.weight").row(4))
	c := calibration(t, m)
	seen := activations(m, c.Tokens)
	for _, bits := range []int{4, 8} {
		steps, err := m.ClipOutputs(context.Background(), c, bits)
		if err != nil {
			t.Fatal(err)
		}
		narrower, unlike := 0, 0
		l, h := quant.WeightRange(bits)
		for layer := range m.config.NumHiddenLayers {
			for i, g := range groups {
				x := seen[[2]int{layer, i}]
				for _, tail := range g.to {
					w, name := m.of(layer, tail), format.LayerName(layer, tail)
					q := make([]int8, w.cols)
					for r, got := range steps[name] {
						full, err := quant.WeightScale(w.row(r), bits)
						if err != nil {
							t.Fatal(err)
						}
						cost := func(step float32) (sum float64) {
							quant.WeightRowScaled(q, w.row(r), step, l, h)
							d := widen(w.row(r))
							for j, v := range q {
								d[j] -= float64(v) * float64(step)
							}
							for _, token := range x {
								y := dot(token, d)
								sum += y * y
							}
							return sum
						}
						least := math.Inf(1)
						for k := range 40 {
							least = min(least, cost(float32(float64(full)*(1-0.02*float64(k)))))
						}
						// H, d and their product are float32s.
						if e := cost(got); e > 1.001*least+1e-12 {
							t.Errorf("%d bits: %s row %d: step %v costs %v, the best costs %v", bits, name, r, got, e, least)
						}
						if got < full {
							narrower++
						}
						if got != clip(w.row(r), full, float32(l), float32(h)) {
							unlike++
						}
					}
				}
			}
		}
		if zero := steps["model.layers.0.mlp.up_proj.weight"][4]; zero != 0 || bits == 4 && (narrower < 100 || unlike < 100) {
			t.Errorf("%d bits: a row of zeros has step %v; %d rows are narrower than MinMax, %d have other steps than by weights alone", bits, zero, narrower, unlike)
		}
	}
}
