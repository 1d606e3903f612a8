package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Linear implements kernels.Device.
func (d *Device) Linear(out kernels.Floats, x kernels.Rows, w ...kernels.Weight) {
	checkLinear("Linear", out, x, w)
	column := 0
	for i := range w {
		d.linear(out, x, &w[i], column, false)
		column += w[i].Out
	}
}

// LinearAdd implements kernels.Device.
func (d *Device) LinearAdd(out kernels.Floats, x kernels.Rows, w kernels.Weight) {
	checkLinear("LinearAdd", out, x, []kernels.Weight{w})
	d.linear(out, x, &w, 0, true)
}

// checkLinear panics unless x fits every weight and their outputs fill out.
func checkLinear(op string, out kernels.Floats, x kernels.Rows, w []kernels.Weight) {
	cols := 0
	for i, p := range w {
		if p.In != x.Cols || quant.Align(p.In) != x.Stride {
			panic(fmt.Sprintf("cuda: %s: x is [%d, %d] with rows %d apart, w[%d] takes %d padded to %d",
				op, x.N, x.Cols, x.Stride, i, p.In, quant.Align(p.In)))
		}
		if x.Bits != 16 && !p.Type.Quantized() {
			panic(fmt.Sprintf("cuda: %s: x has %d bits, w[%d] is %v: integer rows take int4 or int8", op, x.Bits, i, p.Type))
		}
		if want := p.Out * p.Type.RowBytes(p.In); p.Data.N != want {
			panic(fmt.Sprintf("cuda: %s: w[%d] has %d bytes, %v [%d, %d] has %d", op, i, p.Data.N, p.Type, p.Out, p.In, want))
		}
		if p.Type.Quantized() && p.Scale.N != p.Out {
			panic(fmt.Sprintf("cuda: %s: w[%d] has %d scales for %d rows", op, i, p.Scale.N, p.Out))
		}
		cols += p.Out
	}
	if out.Rows != x.N || out.Cols != cols {
		panic(fmt.Sprintf("cuda: %s: out is [%d, %d], x · wᵀ is [%d, %d]", op, out.Rows, out.Cols, x.N, cols))
	}
}

// linear queues one weight's product, whose outputs start at column of out.
func (d *Device) linear(out kernels.Floats, x kernels.Rows, w *kernels.Weight, column int, add bool) {
	if x.N == 0 || w.Out == 0 {
		return
	}
	l := linearParams{out: at(out.Buf), stride: uint64(out.Stride), column: uint64(column)}
	if add {
		l.add = 1
	}
	if x.Bits == 16 {
		d.linearFloat(l, x, w)
		return
	}
	d.linearInt(l, x, w)
}

// linearParams say where a product goes.
type linearParams struct{ out, stride, column, add uint64 }
