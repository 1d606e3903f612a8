package ptq

import (
	"context"
	"math"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

const (
	outputSteps  = 40 // tried for a row
	outputShrink = 0.02
)

// ClipOutputs returns, for each row, the one of 40 steps, 1.00 to 0.22 times MinMax's,
// that changes what the row gives on the calibration tokens the least (AWQ,
// arXiv:2306.00978; QoQ, arXiv:2405.04532): with d = ŵ-w and the H = Σ x·xᵀ of all
// tokens, that is dᵀ·H·d.
func (m *Model) ClipOutputs(ctx context.Context, c *Calibration, bits int) (Steps, error) {
	steps, err := m.MinMax(ctx, bits)
	if err != nil {
		return nil, err
	}
	return steps, m.calibrate(ctx, c, "clip-outputs", float32s, func(r *runner, layer int) error {
		h, err := r.hessians(ctx, nn.WholeLayer, groups[:]...)
		if err != nil {
			return err
		}
		for i, g := range groups {
			for _, tail := range g.to {
				if err := clipOutputs(r.c.Device, m.of(layer, tail), h[i], steps[format.LayerName(layer, tail)], bits); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// clipOutputs replaces MinMax steps by the best ones, the largest of equals.
func clipOutputs(dev kernels.TrainDevice, w *matrix, hessian *symmetric, steps []float32, bits int) error {
	var d, h, product kernels.Floats
	defer func() {
		for _, f := range []kernels.Floats{d, h, product} {
			if f.Mem != nil {
				dev.Free(f.Mem)
			}
		}
	}()
	for _, f := range []struct {
		*kernels.Floats
		rows int
	}{{&d, w.rows}, {&h, w.cols}, {&product, w.rows}} {
		var err error
		if *f.Floats, err = kernels.NewFloats(dev, f.rows, w.cols); err != nil {
			return err
		}
	}
	kernels.UploadFloats(dev, h, hessian.float32s())
	l, hi := quant.WeightRange(bits)
	diff, turned := make([]float32, len(w.v)), make([]float32, len(w.v))
	least, best := make([]float64, w.rows), make([]float32, w.rows)
	for k := range outputSteps {
		step := func(row int) float32 { return float32(float64(steps[row]) * (1 - outputShrink*float64(k))) }
		parallel(w.rows, rowsPer(w.cols), func(from, to int) {
			for i := from; i < to; i++ {
				roundingErrors(diff[i*w.cols:][:w.cols], w.row(i), step(i), float32(l), float32(hi))
			}
		})
		kernels.UploadFloats(dev, d, diff)
		dev.MatMul(product, d, h, kernels.MatMulNN, false)
		kernels.DownloadFloats(dev, turned, product)
		if err := dev.Sync(); err != nil {
			return err
		}
		for i := range least {
			sum := 0.0
			for j, v := range diff[i*w.cols:][:w.cols] {
				sum += float64(v) * float64(turned[i*w.cols+j])
			}
			if k == 0 || sum < least[i] {
				least[i], best[i] = sum, step(i)
			}
		}
	}
	copy(steps, best)
	return nil
}

// roundingErrors sets d to ŵ-w.
func roundingErrors(d, w []float32, step, lo, hi float32) {
	if step == 0 {
		clear(d) // a row of zeros
		return
	}
	for j, x := range w {
		d[j] = min(max(float32(math.RoundToEven(float64(x/step))), lo), hi)*step - x
	}
}
