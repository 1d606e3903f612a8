package format

import (
	"math"

	"github.com/llmqat/llmqat/kernels/fp"
)

// RoPEFrequencies returns by how many radians RoPE turns pair i of a head at each
// position, [HeadDim/2]: theta^(-2i/HeadDim) (arXiv:2104.09864), scaled as
// c.RopeScaling says. Float64 throughout, so the same on every machine.
func (c *Config) RoPEFrequencies() []float64 {
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
func scaled(f float64, s *RopeScaling) float64 {
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
