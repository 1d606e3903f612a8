package ptq

import (
	"context"
	"math"

	"github.com/llmqat/llmqat/kernels/quant"
)

// AWQ scales the channels of what linear layers read by mean|x|^α, for each group of
// layers with the α of a grid that changes their outputs the least (arXiv:2306.00978):
// Σ(x·wᵀ - x̂·ŵᵀ)², weights rounded to nearest. x is rounded too where bits.A < 16,
// which AWQ, with its float activations, has no reason to do.
func (m *Model) AWQ(ctx context.Context, c *Calibration, bits quant.Bits) error {
	return m.smooth(ctx, c, "awq", groups[:], func(r *runner, layer int, g *group, x *sample) ([]float64, error) {
		n, of := m.channels(layer, g)
		var scales [][]float64
		for i := range searchGrid {
			scales = append(scales, awqScales(x.sum, n, of, float64(i)/searchGrid))
		}
		return m.bestScales(r.c.Device, layer, g, x, bits, scales)
	})
}

// awqScales returns (Σ|x|)^α of the channels, divided by √(largest·smallest): a factor
// that all channels share changes nothing but keeps numbers near 1.
func awqScales(sum []float64, n int, of []int, alpha float64) []float64 {
	total, s := make([]float64, n), make([]float64, n)
	for j, v := range sum {
		total[of[j]] += v
	}
	least, most := math.Inf(1), 0.0
	for i, v := range total {
		s[i] = 1
		if v > 0 {
			s[i] = math.Pow(v, alpha)
			least, most = min(least, s[i]), max(most, s[i])
		}
	}
	for i, v := range total {
		if v > 0 {
			s[i] /= math.Sqrt(least * most)
		}
	}
	return s
}
