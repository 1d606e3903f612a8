package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels/quant"
)

// Rounding by a step of max|x|/qmax takes at most half a step of each of n values whose
// squares sum up to max|x|² or more: n/(2·qmax)² of them.
func TestErrors(t *testing.T) {
	d := device(t, 2)
	c := tiny(false)
	b := batch(rand.New(rand.NewPCG(5, 1)), c.VocabSize, 30, 9)
	errors := func(bits string) (*Model, Errors) {
		m := model(t, d, noise{c, 1}, Options{Quantization: setting(t, bits, quant.KVToken, 16)})
		e, err := m.Errors(b)
		if err != nil || len(e.Weights) != c.NumHiddenLayers || len(e.Activations) != c.NumHiddenLayers || len(e.KV) != c.NumHiddenLayers {
			t.Fatalf("%s: %+v, %v", bits, e, err)
		}
		return m, e
	}
	m, e := errors("4-16-16")
	var lost, all float64
	for i := range m.layers {
		var layerLost, layerAll float64
		for _, l := range m.layers[i].linears() {
			hat := values(d, l.hat)
			for j, w := range values(d, l.W) {
				layerLost += math.Pow(float64(hat[j])-float64(w), 2)
				layerAll += math.Pow(float64(w), 2)
			}
		}
		if want := layerLost / layerAll; !(math.Abs(e.Weights[i]/want-1) < 1e-9) {
			t.Errorf("layer %d: weights lose %v, want %v", i, e.Weights[i], want)
		}
		if e.Activations[i] != 0 || e.KV[i] != 0 {
			t.Errorf("layer %d: %+v of what is not rounded", i, e)
		}
		lost, all = lost+layerLost, all+layerAll
	}
	if !(math.Abs(e.Weight/(lost/all)-1) < 1e-9) {
		t.Errorf("weights lose %v, want %v", e.Weight, lost/all)
	}
	_, a := errors("4-8-16")
	_, kv := errors("4-16-4")
	for i := range c.NumHiddenLayers {
		widest, keys := float64(max(c.HiddenSize, c.IntermediateSize)), float64(c.NumKeyValueHeads*c.HeadDim)
		if e := a.Activations[i]; !(e > 1e-6 && e < widest/(254*254)) || a.KV[i] != 0 {
			t.Errorf("layer %d: activations of 8 bits lose %v, K and V of 16 %v", i, e, a.KV[i])
		}
		if e := kv.KV[i]; !(e > 1e-3 && e < keys/(14*14)) || kv.Activations[i] != 0 {
			t.Errorf("layer %d: K and V of 4 bits lose %v, activations of 16 %v", i, e, kv.Activations[i])
		}
	}
}
