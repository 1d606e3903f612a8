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

// Stage is how far a layer is computed: up to what one of its linear layers reads, or
// whole.
type Stage int

const (
	QKVProj Stage = iota
	OProj
	GateUpProj
	DownProj
	WholeLayer
)

// RunLayer computes layer i alone, given x [T, H], the hidden states in front of it, up to
// what the given stage reads: of Inputs what comes behind that is undefined. y [T, H], if
// not nil, becomes the output of a whole layer; it may be x. Of b's tokens nothing counts
// but how many there are. Prepare came before.
func (m *Model) RunLayer(i int, end Stage, y, x []float32, b Batch) (Inputs, error) {
	m.load(b)
	p, a := &m.pass, m.actsOf(i)
	kernels.UploadFloats(m.dev, p.x[i], x)
	m.layers[i].forwardTo(end, p, a, p.x[i+1], p.x[i])
	if y != nil {
		if end != WholeLayer {
			panic("nn: RunLayer: a layer that is not whole has no output")
		}
		kernels.DownloadFloats(m.dev, y, p.x[i+1])
	}
	_, k, _ := m.shape.split(a.qkv)
	return Inputs{QKV: a.in, Keys: k, Out: a.attn, GateUp: a.ffIn, Down: a.ff}, m.dev.Sync()
}
