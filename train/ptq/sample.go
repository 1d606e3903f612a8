package ptq

import (
	"context"
	"math"

	"github.com/llmqat/llmqat/train/nn"
)

const (
	searchGrid   = 20  // parts of 1 in which exponents are tried
	searchTokens = 512 // that outputs are compared on
)

// smooth scales the channels of some of each layer's groups, by what find makes of what
// they read.
func (m *Model) smooth(ctx context.Context, c *Calibration, method string, which []group, find func(r *runner, layer int, g *group, x *sample) ([]float64, error)) error {
	return m.calibrate(ctx, c, method, float32s, func(r *runner, layer int) error {
		seen := make([]sample, len(which))
		every := (r.tokens() + searchTokens - 1) / searchTokens
		if err := r.run(ctx, func(in nn.Inputs) error {
			for i, g := range which {
				x := g.reads(in)
				seen[i].add(r.values(x), x.Cols, every)
			}
			return nil
		}); err != nil {
			return err
		}
		for i := range which {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := find(r, layer, &which[i], &seen[i])
			if err != nil {
				return err
			}
			m.scale(layer, &which[i], s)
		}
		return nil
	})
}

// sample is some of the tokens of an activation, and the size of all.
type sample struct {
	rows []float32 // [n, cols]
	sum  []float64 // Σ|x| of each column
	max  []float64 // the largest |x|
	seen int
}

// add looks at x's rows, and keeps each every-th of all.
func (s *sample) add(x []float32, cols, every int) {
	s.max = largest(s.max, x, cols)
	if s.sum == nil {
		s.sum = make([]float64, cols)
	}
	for ; len(x) > 0; x = x[cols:] {
		for j, v := range x[:cols] {
			s.sum[j] += math.Abs(float64(v))
		}
		if s.seen%every == 0 {
			s.rows = append(s.rows, x[:cols]...)
		}
		s.seen++
	}
}
