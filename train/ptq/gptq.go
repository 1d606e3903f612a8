package ptq

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// damp is added to the Hessian's diagonal, times its mean.
const damp = 0.01

// GPTQ rounds the linear layers' weights to multiples of the given steps, column by
// column, and lets the columns that are still to come make up for each one's error, so
// that outputs on the calibration tokens change little (arXiv:2210.17323). Layers go
// in order, q, k and v before o, those before gate and up, those before down, and each
// sees what the rounded ones before it give, with activations and KV cache rounded as q
// has it. With byActivation columns go by falling size of what they read, which GPTQ's
// code calls act-order; the file is the same.
//
// The Hessian takes 8·In² bytes, twice that where columns are ordered, and 4·In² on the
// device: 1, 2 and 0.5 GB for LLaMA-7B's down_proj.
func (m *Model) GPTQ(ctx context.Context, c *Calibration, q qat.Quantization, steps Steps, byActivation bool) error {
	return m.calibrate(ctx, c, fmt.Sprintf("gptq act-order=%v", byActivation), q, func(r *runner, layer int) error {
		for _, g := range groups {
			h, err := r.hessians(ctx, g.stage, g)
			if err != nil {
				return err
			}
			f := newColumns(h[0], byActivation)
			if f == nil {
				return fmt.Errorf("%s: what it reads has no positive definite Hessian: is it all finite numbers?", g.to[0])
			}
			for _, tail := range g.to {
				f.round(m.of(layer, tail), steps[format.LayerName(layer, tail)], q.Bits.W)
			}
			r.load()
		}
		return r.run(ctx, func(nn.Inputs) error { return nil })
	})
}

// hessians returns, for each of a layer's groups, Σ x·xᵀ of what it reads: within a batch
// in float32 in the device's order, of batches in float64.
// end is runTo's.
func (r *runner) hessians(ctx context.Context, end nn.Stage, of ...group) ([]*symmetric, error) {
	d := r.c.Device
	all, sums := make([]*symmetric, len(of)), make([]kernels.Floats, len(of))
	defer func() {
		for _, f := range sums {
			if f.Mem != nil {
				d.Free(f.Mem)
			}
		}
	}()
	for i, g := range of {
		n := r.m.of(r.at, g.to[0]).cols
		all[i] = newSymmetric(n)
		var err error
		if sums[i], err = kernels.NewFloats(d, n, n); err != nil {
			return nil, err
		}
	}
	return all, r.runTo(ctx, end, func(in nn.Inputs) error {
		for i, g := range of {
			x := g.reads(in)
			d.MatMul(sums[i], x, x, kernels.MatMulTN, false)
			for j, v := range r.values(sums[i]) {
				all[i].v[j] += float64(v)
			}
		}
		return d.Sync()
	})
}

// columns is the order in which GPTQ takes a weight's columns, and U of H⁻¹ = Uᵀ·U in
// that order.
type columns struct {
	order []int
	u     *symmetric
}

// newColumns damps and inverts h. It returns nil where that has no inverse.
func newColumns(h *symmetric, byActivation bool) *columns {
	c := &columns{make([]int, h.n), h}
	mean := 0.0
	for i := range c.order {
		c.order[i] = i
		mean += h.row(i)[i] / float64(h.n)
	}
	if mean == 0 {
		mean = 1 // nothing is read: each weight is rounded by itself
	}
	if byActivation {
		slices.SortStableFunc(c.order, func(i, j int) int { return cmp.Compare(h.row(j)[j], h.row(i)[i]) })
		c.u = newSymmetric(h.n)
		for i, from := range c.order {
			for j, at := range c.order {
				c.u.row(i)[j] = h.row(from)[at]
			}
		}
	}
	for i := range h.n {
		c.u.row(i)[i] += damp * mean
	}
	if !c.u.invertedFactor() {
		return nil
	}
	return c
}

// roundRows is how many rows go through the columns together: U is read once for all.
const roundRows = 16

// round sets w's rows to multiples of their steps. With e = (w-ŵ)/U[j,j] for each column
// done, column j has lost Σ e[i]·U[i,j] of those before it when its turn comes. This is
// GPTQ's recursion with its sums taken in one go, which needs none of its blocks of
// 128 columns: they are there to delay the same additions.
func (c *columns) round(w *matrix, steps []float32, bits int) {
	l, h := quant.WeightRange(bits)
	lo, hi := float64(l), float64(h)
	n := c.u.n
	parallel(w.rows, roundRows, func(from, to int) {
		e := make([]float64, (to-from)*n)
		for j, at := range c.order {
			u := c.u.row(j)[:j+1]
			for i := from; i < to; i++ {
				e, step := e[(i-from)*n:][:n], steps[i]
				p := &w.row(i)[at]
				v := float64(*p) - dot(u[:j], e)
				q := 0.0
				if step > 0 {
					q = min(max(math.RoundToEven(v/float64(step)), lo), hi)
				}
				*p = float32(q) * step
				e[j] = (v - float64(*p)) / u[j]
			}
		}
	})
}
