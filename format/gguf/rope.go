package gguf

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format"
)

// llama.cpp's converter replaces Llama 3's scaling by its outcome, one divisor of each
// frequency in the tensor rope_freqs.weight, and drops the parameters. All known
// models have these; the factor is the last divisor.
const (
	ropeFreqs      = "rope_freqs.weight"
	lowFreqFactor  = 1
	highFreqFactor = 4
	defaultOrigin  = 8192
)

// ropeScaling reads the scaling of RoPE's frequencies, from the metadata or from
// rope_freqs.weight.
func (f *file) ropeScaling(c *format.Config) (*format.RopeScaling, error) {
	kind, err := f.metadata.string("llama.rope.scaling.type", "")
	if err != nil {
		return nil, err
	}
	old, err := f.metadata.float("llama.rope.scale_linear", 1)
	if err != nil {
		return nil, err
	}
	factor, err := f.metadata.float("llama.rope.scaling.factor", old)
	if err != nil {
		return nil, err
	}
	divisors, hasDivisors := f.tensors[ropeFreqs]
	switch {
	case kind != "" && kind != "none" && kind != "linear":
		return nil, fmt.Errorf("llama.rope.scaling.type is %.80q, want none or linear: %w", kind, format.ErrUnsupported)
	case kind == "none" || factor == 1:
		if hasDivisors {
			return f.llama3(c, &divisors)
		}
		return nil, nil
	case hasDivisors:
		return nil, fmt.Errorf("linear scaling and %s together: %w", ropeFreqs, format.ErrUnsupported)
	}
	return &format.RopeScaling{Type: "linear", Factor: factor}, nil
}

// llama3 returns the parameters whose divisors are those of t; nil where all are 1.
func (f *file) llama3(c *format.Config, t *tensor) (*format.RopeScaling, error) {
	if len(t.dims) != 1 || t.dtype != typeF32 || t.dims[0] != uint64(c.HeadDim/2) || c.HeadDim < 2 {
		return nil, fmt.Errorf("tensor %q is %v%d, want F32[%d]: %w", ropeFreqs, t.dtype, t.dims, c.HeadDim/2, format.ErrCorrupt)
	}
	got := make([]float32, c.HeadDim/2)
	e, _ := t.elements()
	e.Read(got, 0)
	origin, err := f.metadata.int("llama.rope.scaling.original_context_length", defaultOrigin)
	if err != nil {
		return nil, err
	}
	s := &format.RopeScaling{Type: "llama3", Factor: shortest(got[len(got)-1]), LowFreqFactor: lowFreqFactor,
		HighFreqFactor: highFreqFactor, OriginalMaxPositionEmbeddings: origin}
	same := true
	for i, g := range got {
		want := divisor(s, math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim)))
		// The converter works in float32: some roundings of 2^-24 each, magnified by 1/(1-smooth).
		if !(math.Abs(float64(g)-want) <= 1e-4*want) {
			return nil, fmt.Errorf("tensor %q: divisor %d is %v, Llama 3's scaling by %v of %d positions has %v: %w",
				ropeFreqs, i, g, s.Factor, origin, want, format.ErrUnsupported)
		}
		same = same && g == 1
	}
	if same {
		return nil, nil
	}
	return s, nil
}

// divisor returns what Llama 3's scaling divides a frequency by: the factor where the
// wave is longer than the original context, 1 where it is shorter than a quarter of it
// (by the two frequency factors), a blend between.
func divisor(s *format.RopeScaling, frequency float64) float64 {
	waves := float64(s.OriginalMaxPositionEmbeddings) * frequency / (2 * math.Pi)
	switch {
	case waves < s.LowFreqFactor:
		return s.Factor
	case waves > s.HighFreqFactor:
		return 1
	}
	smooth := (waves - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return 1 / ((1-smooth)/s.Factor + smooth)
}
