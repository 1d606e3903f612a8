package ptq

import (
	"context"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// SmoothQuant scales the channels of what q, k, v, gate and up_proj read by
// max|x|^α / max|w|^(1-α), so that a part of what is hard to round moves from
// activations into weights (arXiv:2211.10438). Its authors take one α for a model: 0.85
// for LLaMA with weights of 8 bits. α of 0 is searched, for each group of layers by
// itself, as AWQ's is: what changes the outputs of rounded operands the least.
func (m *Model) SmoothQuant(ctx context.Context, c *Calibration, alpha float64, bits quant.Bits) error {
	name := fmt.Sprintf("smoothquant alpha=%v", alpha)
	if alpha == 0 {
		name = "smoothquant alpha=searched"
	}
	return m.smooth(ctx, c, name, inputGroups, func(r *runner, layer int, g *group, x *sample) ([]float64, error) {
		n, of := m.channels(layer, g)
		largest, weights := channelMax(x.max, n, of), channelMax(m.largestWeights(layer, g), n, of)
		if alpha != 0 {
			return smoothing(largest, weights, alpha), nil
		}
		var scales [][]float64
		for i := range searchGrid + 1 {
			scales = append(scales, smoothing(largest, weights, float64(i)/searchGrid))
		}
		return m.bestScales(r.c.Device, layer, g, x, bits, scales)
	})
}

// outputAlpha is SmoothOutputs' α: QServe's released configuration of weights with one
// step a row. It found that most is won by evening out weights.
const outputAlpha = 0.1

// SmoothOutputs does the same with what o_proj and down_proj read (QServe's QoQ,
// arXiv:2405.04532, "block output module smoothing").
func (m *Model) SmoothOutputs(ctx context.Context, c *Calibration) error {
	return m.smooth(ctx, c, fmt.Sprintf("smooth-outputs alpha=%v", outputAlpha), outputGroups, func(r *runner, layer int, g *group, x *sample) ([]float64, error) {
		n, of := m.channels(layer, g)
		return smoothing(channelMax(x.max, n, of), channelMax(m.largestWeights(layer, g), n, of), outputAlpha), nil
	})
}

// smoothing returns SmoothQuant's factors; channels that are never used keep theirs.
func smoothing(x, w []float64, alpha float64) []float64 {
	s := make([]float64, len(x))
	for i := range s {
		s[i] = 1
		if x[i] > 0 && w[i] > 0 {
			s[i] = math.Pow(x[i], alpha) / math.Pow(w[i], 1-alpha)
		}
	}
	return s
}

// largest raises max [cols] to the largest |v| of each column.
func largest(max []float64, v []float32, cols int) []float64 {
	if max == nil {
		max = make([]float64, cols)
	}
	for i, x := range v {
		if a := math.Abs(float64(x)); a > max[i%cols] {
			max[i%cols] = a
		}
	}
	return max
}

// largestWeights returns the largest |w| of each column that a group's layers have.
func (m *Model) largestWeights(layer int, g *group) []float64 {
	var max []float64
	for _, tail := range g.to {
		w := m.of(layer, tail)
		max = largest(max, w.v, w.cols)
	}
	return max
}

// channelMax returns the maxima of n channels, given those of columns.
func channelMax(columns []float64, n int, of []int) []float64 {
	max := make([]float64, n)
	for j, x := range columns {
		if x > max[of[j]] {
			max[of[j]] = x
		}
	}
	return max
}

// attentionAlpha is SmoothAttention's α.
const attentionAlpha = 0.5

// SmoothAttention divides K's channels by λ = max|k|^α and multiplies Q's by it
// (QServe's QoQ, arXiv:2405.04532; α = 0.5), which leaves q·k as it is: K has
// channels far larger than others, which the cache's rounding shares a scale with. λ is
// that of the larger channel of a pair that RoPE turns, for both.
func (m *Model) SmoothAttention(ctx context.Context, c *Calibration) error {
	heads, kvHeads, d := m.config.NumAttentionHeads, m.config.NumKeyValueHeads, m.config.HeadDim
	return m.calibrate(ctx, c, fmt.Sprintf("smooth-attention alpha=%v", attentionAlpha), float32s, func(r *runner, layer int) error {
		var keys []float64
		if err := r.run(ctx, func(in nn.Inputs) error {
			keys = largest(keys, r.values(in.Keys), in.Keys.Cols)
			return nil
		}); err != nil {
			return err
		}
		lambda := make([]float64, kvHeads*d)
		for i := range lambda {
			pair := i/d*d + (i%d+d/2)%d
			lambda[i] = 1
			if k := max(keys[i], keys[pair]); k > 0 {
				lambda[i] = math.Pow(k, attentionAlpha)
			}
		}
		q, k := m.of(layer, "self_attn.q_proj.weight"), m.of(layer, "self_attn.k_proj.weight")
		for i, f := range lambda {
			k.scaleRow(i, 1/f)
		}
		for i := range heads * d {
			q.scaleRow(i, lambda[i/d/(heads/kvHeads)*d+i%d])
		}
		return nil
	})
}
