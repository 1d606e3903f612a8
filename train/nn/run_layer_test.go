package nn

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Layer after layer gives what a pass through all of them does, and shows the same.
func TestRunLayer(t *testing.T) {
	d := device(t, 2)
	c := tiny(true)
	b := batch(rand.New(rand.NewPCG(4, 1)), c.VocabSize, 9, 20)
	o := Options{Quantization: setting(t, "4-8-4", quant.KVHeadZP, 16), Train: true} // keeps each layer's acts
	whole, alone := model(t, d, noise{c, 1}, o), model(t, d, noise{c, 1}, o)
	whole.forward(b)
	x := values(d, whole.pass.x[0])
	zeros := Batch{make([]int32, 9), make([]int32, 20)}
	for i := range c.NumHiddenLayers {
		a := whole.actsOf(i)
		for end, want := range map[Stage]kernels.Floats{QKVProj: a.in, OProj: a.attn, GateUpProj: a.ffIn, DownProj: a.ff} {
			in, err := alone.RunLayer(i, end, nil, x, zeros)
			if err != nil {
				t.Fatal(err)
			}
			if got := []kernels.Floats{in.QKV, in.Out, in.GateUp, in.Down}[end]; !slices.Equal(values(d, got), values(d, want)) {
				t.Errorf("layer %d: computed up to stage %d, what that reads differs from the whole model's", i, end)
			}
		}
		in, err := alone.RunLayer(i, WholeLayer, x, x, zeros)
		if err != nil {
			t.Fatal(err)
		}
		_, k, _ := whole.shape.split(a.qkv)
		for name, f := range map[string][2]kernels.Floats{
			"QKV": {in.QKV, a.in}, "Keys": {in.Keys, k}, "Out": {in.Out, a.attn}, "GateUp": {in.GateUp, a.ffIn}, "Down": {in.Down, a.ff},
		} {
			got, want := make([]float32, f[0].Rows*f[0].Cols), make([]float32, f[1].Rows*f[1].Cols)
			kernels.DownloadFloats(d, got, f[0])
			kernels.DownloadFloats(d, want, f[1])
			if !slices.Equal(got, want) {
				t.Errorf("layer %d: %s differ from the whole model's", i, name)
			}
		}
		if !slices.Equal(x, values(d, whole.pass.x[i+1])) {
			t.Errorf("layer %d: its output differs from the whole model's", i)
		}
	}
}

// Steps that are given stay as weights change, or are what learning begins from.
func TestGivenSteps(t *testing.T) {
	d := device(t, 2)
	c := tiny(true)
	given := func(part string) func(string) []float32 {
		return func(tensor string) []float32 {
			for _, s := range c.Tensors() {
				if s.Name == tensor && s.Linear && strings.Contains(tensor, part) {
					steps := make([]float32, s.Out)
					for i := range steps {
						steps[i] = 0.03 + 0.001*float32(i)
					}
					return steps
				}
			}
			return nil
		}
	}
	o := Options{Quantization: setting(t, "4-8-4", quant.KVHeadZP, 8), Steps: given("layers.1")}
	for _, learn := range []bool{false, true} {
		o.Train, o.LearnSteps = learn, learn
		m := model(t, d, noise{c, 1}, o)
		l := &m.layers[1].down
		w := values(d, l.W)
		for i := range w {
			w[i] *= 2
		}
		kernels.UploadFloats(d, l.W, w)
		m.Prepare()
		q, want := make([]int8, l.W.Cols), []float32(nil)
		for i := range l.W.Rows {
			step := o.Steps(l.Tensors[0].Name)[i]
			quant.WeightRowScaled(q, w[i*l.W.Cols:][:l.W.Cols], step, quant.Int4Min, quant.Int4Max)
			for _, v := range q {
				want = append(want, float32(v)*step)
			}
		}
		if !slices.Equal(values(d, l.hat), want) {
			t.Errorf("learn=%v: weights are not rounded by the given steps", learn)
		}
		if got := m.Steps(l.Tensors[0].Name); !slices.Equal(got, o.Steps(l.Tensors[0].Name)) {
			t.Errorf("learn=%v: steps are %v", learn, got)
		}
		if got := m.Steps(format.LayerName(0, "mlp.down_proj.weight")); (got != nil) != learn {
			t.Errorf("learn=%v: steps that were not given are %v", learn, got)
		}
	}

	for part, say := range map[string]string{
		"q_proj": `k_proj.weight": 0 steps`, "v_proj": "others that read the same input have them",
	} {
		o.Steps = given(part)
		o.MaxTokens, o.MaxLength = 300, 64
		if _, err := New(d, noise{c, 1}, o); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("steps of %s alone: %v, want an error that says %s", part, err, say)
		}
	}
}
