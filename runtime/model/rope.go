package model

import (
	"math"

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
	r = &rope{mem: mem, freqs: Frequencies(c), full: kernels.RoPE{Positions: positions, HeadDim: c.HeadDim}}
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
		cos, sin := make([]float32, 0, (to-from)*n), make([]float32, 0, (to-from)*n)
		for pos := from; pos < to; pos++ {
			for _, f := range r.freqs {
				s, c := fp.SinCos(float64(float64(pos) * f))
				cos, sin = append(cos, float32(c)), append(sin, float32(s))
			}
		}
		kernels.Upload(r.mem, r.full.Cos.Slice(from*n, to*n), cos)
		kernels.Upload(r.mem, r.full.Sin.Slice(from*n, to*n), sin)
		r.filled = to
	}
}

// Frequencies returns by how many radians RoPE turns pair i of a head at each
// position, [HeadDim/2]: theta^(-2i/HeadDim) (arXiv:2104.09864), scaled as
// c.RopeScaling says. Float64 throughout, so the same on every machine.
func Frequencies(c *format.Config) []float64 {
	f := make([]float64, c.HeadDim/2)
	for i := range f {
		f[i] = 1 / fp.Pow(c.RopeTheta, float64(2*i)/float64(c.HeadDim))
		if s := c.RopeScaling; s != nil {
			f[i] = scaled(f[i], s)
		}
	}
	return f
}

// scaled slows a frequency down. Llama 3 keeps those that turn often within the
// original context, divides those that turn rarely, and blends between.
func scaled(f float64, s *format.RopeScaling) float64 {
	slow := f / s.Factor
	if s.Type == "linear" {
		return slow
	}
	turns := float64(float64(s.OriginalMaxPositionEmbeddings)*f) / (2 * math.Pi)
	switch {
	case turns < s.LowFreqFactor:
		return slow
	case turns > s.HighFreqFactor:
		return f
	}
	keep := (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return float64((1-keep)*slow) + float64(keep*f)
}
