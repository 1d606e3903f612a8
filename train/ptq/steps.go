package ptq

import (
	"context"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels/quant"
)

// Steps are the steps of tensors' rows, by name: w ≈ q·step, with q in all of
// quant.WeightRange.
type Steps map[string][]float32

// Of returns the steps of a tensor's rows, or nil, as nn.Options.Steps and
// convert.Trained.Scales want them.
func (s Steps) Of(tensor string) []float32 { return s[tensor] }

// MinMax returns the steps that make each row's largest weight the largest integer.
func (m *Model) MinMax(ctx context.Context, bits int) (Steps, error) {
	return m.steps(ctx, bits, func(row []float32, step float32) float32 { return step })
}

// Clip returns, for each row, the one of 80 steps, 1.00 to 0.21 times MinMax's, with the
// least Σ|ŵ-w|^2.4: GPTQ's search (arXiv:2210.17323, its code's "mse").
func (m *Model) Clip(ctx context.Context, bits int) (Steps, error) {
	lo, hi := quant.WeightRange(bits)
	steps, err := m.steps(ctx, bits, func(row []float32, step float32) float32 {
		return clip(row, step, float32(lo), float32(hi))
	})
	if err == nil {
		m.note("clip")
	}
	return steps, err
}

// steps calls choose with each row and its MinMax step.
func (m *Model) steps(ctx context.Context, bits int, choose func(row []float32, step float32) float32) (Steps, error) {
	all := Steps{}
	for _, t := range m.config.Tensors() {
		if !t.Linear {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w := m.tensor(t.Name)
		steps, errs := make([]float32, w.rows), make([]error, w.rows)
		parallel(w.rows, rowsPer(16*w.cols), func(from, to int) {
			for i := from; i < to; i++ {
				if steps[i], errs[i] = quant.WeightScale(w.row(i), bits); errs[i] == nil {
					steps[i] = choose(w.row(i), steps[i])
				}
			}
		})
		for i, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("tensor %q: row %d: %w", t.Name, i, err)
			}
		}
		all[t.Name] = steps
	}
	return all, nil
}

// clip returns the best of the steps for a row, the largest of equals.
func clip(row []float32, step, lo, hi float32) float32 {
	best, least := step, math.Inf(1)
	for i := range 80 {
		s := float32(float64(step) * (1 - float64(i)/100))
		if e := roundingError(row, s, lo, hi, least); e < least {
			best, least = s, e
		}
	}
	return best
}

// roundingError returns Σ|ŵ-w|^2.4, or some part of it that is not below enough.
func roundingError(row []float32, step, lo, hi float32, enough float64) (sum float64) {
	if step == 0 {
		return 0 // a row of zeros
	}
	for len(row) > 0 && sum < enough {
		n := min(len(row), 64)
		for _, w := range row[:n] {
			q := min(max(float32(math.RoundToEven(float64(w/step))), lo), hi)
			d := float64(q)*float64(step) - float64(w)
			d *= d
			sum += d * fifthRoot(d)
		}
		row = row[n:]
	}
	return sum
}

// fifthRoot returns x^0.2 to 1e-7 of itself, in half the time of math.Pow, of which a
// search takes 80 a weight: Newton's steps from a guess that a fifth of the exponent is.
func fifthRoot(x float64) float64 {
	if x < 1e-300 {
		return 0
	}
	const one = 1023 << 52 // bits of 1
	y := math.Float64frombits(math.Float64bits(x)/5 + one/5*4)
	for range 3 {
		square := y * y
		y = 0.8*y + 0.2*x/(square*square)
	}
	return y
}
