package kernels

import "fmt"

// A lack says what memory an operand has and what its shape takes, or is empty where
// it has enough.

// whole panics where the operand lacks anything.
func whole(op, operand, lack string) {
	if lack != "" {
		panic(fmt.Sprintf("%s: %s %s", op, operand, lack))
	}
}

func (f *Floats) lack() string {
	if f.Stride < f.Cols || f.N < f.Rows*f.Stride {
		return fmt.Sprintf("has %d floats, [%d, %d] with rows %d apart takes %d", f.N, f.Rows, f.Cols, f.Stride, f.Rows*f.Stride)
	}
	return ""
}

func (r *Rows) lack() string {
	if r.Bits == 16 {
		if r.F.Stride != r.Stride || r.F.N < r.N*r.Stride || r.Stride < r.Cols {
			return fmt.Sprintf("has %d floats with rows %d apart, [%d, %d] with rows %d apart takes %d",
				r.F.N, r.F.Stride, r.N, r.Cols, r.Stride, r.N*r.Stride)
		}
		return ""
	}
	if r.Q.N < r.N*r.Stride || r.Scale.N < r.N || r.Sum.N < r.N || r.Stride < r.Cols {
		return fmt.Sprintf("has %d values, %d scales and %d sums, [%d, %d] with rows %d apart takes %d of the first",
			r.Q.N, r.Scale.N, r.Sum.N, r.N, r.Cols, r.Stride, r.N*r.Stride)
	}
	return ""
}

func (w *Weight) lack() string {
	if want := w.Out * w.Type.RowBytes(w.In); w.Data.N != want {
		return fmt.Sprintf("has %d bytes, %v [%d, %d] takes %d", w.Data.N, w.Type, w.Out, w.In, want)
	}
	if w.Type.Quantized() && w.Scale.N != w.Out {
		return fmt.Sprintf("has %d scales for %d rows", w.Scale.N, w.Out)
	}
	return ""
}

func (c *KVCache) lack() string {
	if c.KVHeads < 1 || c.HeadDim < 1 || c.HeadDim > MaxHeadDim || c.HeadDim%2 != 0 {
		return fmt.Sprintf("has %d heads of %d, want one or more of an even number up to %d", c.KVHeads, c.HeadDim, MaxHeadDim)
	}
	tokens := c.Pages * PageTokens
	bytes, scales, zeros := tokens*c.KVHeads*c.VectorBytes(c.HeadDim), tokens*c.Groups(c.KVHeads), 0
	if c.HasZero() {
		zeros = scales
	}
	if min(c.K.N, c.V.N) < bytes || min(c.KScale.N, c.VScale.N) < scales || min(c.KZero.N, c.VZero.N) < zeros {
		return fmt.Sprintf("has %d and %d bytes of K and V, %d and %d scales, %d and %d zeros; %d pages of %d heads of %d take %d, %d and %d",
			c.K.N, c.V.N, c.KScale.N, c.VScale.N, c.KZero.N, c.VZero.N, c.Pages, c.KVHeads, c.HeadDim, bytes, scales, zeros)
	}
	return ""
}

func (r *RoPE) lack() string {
	if want := r.Positions * r.HeadDim / 2; min(r.Cos.N, r.Sin.N) < want {
		return fmt.Sprintf("has %d cosines and %d sines, %d positions of heads of %d take %d", r.Cos.N, r.Sin.N, r.Positions, r.HeadDim, want)
	}
	return ""
}
