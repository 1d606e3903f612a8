package nn

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// All that a layer rounds is quant.Released of what it was, by ==: what it was is made
// again of what stands in front of it.
func TestCompat(t *testing.T) {
	d, c := device(t, 2), tiny(false)
	m := model(t, d, noise{c, 1}, Options{Quantization: setting(t, "4-8-4", quant.KVToken, 16), Train: true, Compat: true})
	m.forward(batch(rand.New(rand.NewPCG(8, 1)), c.VocabSize, 20, 9))
	const n = 29
	scratch := func(cols int) kernels.Floats {
		f, err := kernels.NewFloats(d, n, cols)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	released := func(f kernels.Floats, bits int) {
		row := make([]float32, f.Cols)
		for i := range f.Rows {
			part := f.Slice(i*f.Stride, i*f.Stride+f.Cols) // f may be columns of another
			kernels.Download(d, row, part)
			quant.Released(row, row, bits)
			kernels.Upload(d, part, row)
		}
	}
	same := func(name string, layer int, got, want kernels.Floats) {
		t.Helper()
		if !slices.Equal(values(d, got), values(d, want)) {
			t.Errorf("layer %d: %s differ", layer, name)
		}
	}
	p := &m.pass
	for i := range m.layers {
		l, a := &m.layers[i], m.actsOf(i)
		for _, w := range l.linears() {
			rows := slices.Clone(values(d, w.W))
			for j := range w.W.Rows {
				row := rows[j*w.W.Cols:][:w.W.Cols]
				quant.Released(row, row, 4)
			}
			if !slices.Equal(values(d, w.hat), rows) {
				t.Errorf("layer %d: weights of %s differ", i, w.Tensors[0].Name)
			}
		}
		in, ffIn, attn, ff := scratch(c.HiddenSize), scratch(c.HiddenSize), scratch(m.shape.queries()), scratch(c.IntermediateSize)
		l.inputNorm.forward(d, in, p.x[i])
		l.postNorm.forward(d, ffIn, a.mid)
		d.SwiGLU(asRows(ff), a.gateUp)
		q, k, v := m.shape.split(a.qkv)
		d.CausalAttention(attn, scratch(2*c.NumAttentionHeads), q, k, v, p.seqs)
		for name, f := range map[string][2]kernels.Floats{"inputs of qkv": {a.in, in}, "inputs of o": {a.attn, attn}, "inputs of gate and up": {a.ffIn, ffIn}, "inputs of down": {a.ff, ff}} {
			released(f[1], 8)
			same(name, i, f[0], f[1])
		}
		qkv := scratch(a.qkv.Cols)
		l.qkv.forward(d, qkv, asRows(a.in), false)
		queries, keys, vals := m.shape.split(qkv)
		released(keys, 4) // before RoPE, all heads together
		released(vals, 4)
		d.Rotate(queries, p.positions, p.rope, false)
		d.Rotate(keys, p.positions, p.rope, false)
		same("q", i, q, queries)
		same("k", i, k, keys)
		same("v", i, v, vals)
	}
}

// What is 16 bits is not rounded, as it is in the released code.
func TestCompatOfFloats(t *testing.T) {
	d, c := device(t, 2), tiny(false)
	b := batch(rand.New(rand.NewPCG(8, 2)), c.VocabSize, 20)
	teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s})
	q := float16s
	q.KVScheme = quant.KVToken
	m := model(t, d, noise{c, 1}, Options{Quantization: q, Compat: true})
	if s, err := m.Evaluate(teacher, b, Loss{}); err != nil || s.CE != s.TeacherCE {
		t.Errorf("16-16-16 has a cross entropy of %v, its teacher %v (%v)", s.CE, s.TeacherCE, err)
	}
}
