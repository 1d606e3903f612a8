package ptq

import (
	"math/rand/v2"

	"github.com/llmqat/llmqat/format"
)

// Rotations are which parts of a model are rotated.
type Rotations int

const (
	RotateNone   Rotations = iota
	RotateStream           // the residual stream, by R1
	RotateValues           // that, and the values of each KV head by an R2 of its own
)

// Rotate turns the residual stream by a random rotation R1, and the values of each KV
// head by another, R2, if it is to (QuaRot, arXiv:2404.00456; SpinQuant, arXiv:2405.16406), which
// takes outlying channels out of what linear layers and the cache round. Norms' weights
// move into the linear layers first. The rotations follow from the seed alone.
func (m *Model) Rotate(seed uint64, what Rotations) {
	m.foldNorms()
	c := &m.config
	random := rand.NewPCG(seed, 0)
	r1 := newRotation(c.HiddenSize, random)
	r1.rows(m.tensor(format.EmbedName), 0)
	if !c.TieWordEmbeddings {
		r1.rows(m.tensor(format.LMHeadName), 0)
	}
	share := c.NumAttentionHeads / c.NumKeyValueHeads
	for i := range c.NumHiddenLayers {
		for _, tail := range []string{"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight"} {
			r1.rows(m.of(i, tail), 0)
		}
		v, o := m.of(i, "self_attn.v_proj.weight"), m.of(i, "self_attn.o_proj.weight")
		r1.columns(o, 0)
		r1.columns(m.of(i, "mlp.down_proj.weight"), 0)
		if what != RotateValues {
			continue
		}
		for h := range c.NumKeyValueHeads {
			r2 := newRotation(c.HeadDim, random)
			r2.columns(v, h*c.HeadDim)
			for q := h * share; q < (h+1)*share; q++ {
				r2.rows(o, q*c.HeadDim)
			}
		}
	}
	if what == RotateValues {
		m.note("hadamard R1 R2 seed=%d", seed)
	} else {
		m.note("hadamard R1 seed=%d", seed)
	}
}
