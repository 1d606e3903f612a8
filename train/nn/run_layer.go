package nn

import "github.com/llmqat/llmqat/kernels"

// Inputs are what a layer's linear layers read of a batch of T tokens, rounded as they
// read it, until the next pass.
type Inputs struct {
	QKV    kernels.Floats // [T, H] of q_proj, k_proj and v_proj
	Keys   kernels.Floats // [T, kvHeads·HeadDim] behind RoPE, as the cache gives them back
	Out    kernels.Floats // [T, heads·HeadDim] of o_proj
	GateUp kernels.Floats // [T, H] of gate_proj and up_proj
	Down   kernels.Floats // [T, F] of down_proj
}

// RunLayer computes layer i alone: y [T, H] becomes its output for x, the hidden states
// in front of it; y may be x, or nil. Of b's tokens nothing counts but how many there
// are. Prepare came before.
func (m *Model) RunLayer(i int, y, x []float32, b Batch) (Inputs, error) {
	m.load(b)
	p, a := &m.pass, m.actsOf(i)
	kernels.UploadFloats(m.dev, p.x[i], x)
	m.layers[i].forward(p, a, p.x[i+1], p.x[i])
	if y != nil {
		kernels.DownloadFloats(m.dev, y, p.x[i+1])
	}
	_, k, _ := m.shape.split(a.qkv)
	return Inputs{QKV: a.in, Keys: k, Out: a.attn, GateUp: a.ffIn, Down: a.ff}, m.dev.Sync()
}
