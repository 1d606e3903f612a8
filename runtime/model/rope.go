package model

import (
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// rope is the table of rotations, computed as far as sequences have reached: a
// start-up with a long context costs nothing.
type rope struct {
	mem    kernels.Memory
	freqs  []float64 // [HeadDim/2] radians a position
	full   kernels.RoPE
	filled int // positions
}

// ropeChunk is how many positions are computed at a time: about 1 ms.
const ropeChunk = 256

func newRoPE(mem kernels.Memory, c *format.Config, positions int) (r *rope, err error) {
	r = &rope{mem: mem, freqs: c.RoPEFrequencies(), full: kernels.RoPE{Positions: positions, HeadDim: c.HeadDim}}
	n := positions * c.HeadDim / 2
	if r.full.Cos, err = kernels.Alloc[float32](mem, n); err == nil {
		r.full.Sin, err = kernels.Alloc[float32](mem, n)
	}
	return r, err
}

// table returns the rotations computed so far.
func (r *rope) table() kernels.RoPE {
	t := r.full
	n := r.filled * len(r.freqs)
	t.Positions, t.Cos, t.Sin = r.filled, t.Cos.Slice(0, n), t.Sin.Slice(0, n)
	return t
}

// reach fills the table up to position last.
func (r *rope) reach(last int) {
	for r.filled <= last {
		from, to := r.filled, min(r.filled+ropeChunk, r.full.Positions)
		n := len(r.freqs)
		cos, sin := fp.Rotations(r.freqs, from, to)
		kernels.Upload(r.mem, r.full.Cos.Slice(from*n, to*n), cos)
		kernels.Upload(r.mem, r.full.Sin.Slice(from*n, to*n), sin)
		r.filled = to
	}
}
