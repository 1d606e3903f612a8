package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Quantize implements kernels.Device.
func (d *Device) Quantize(out kernels.Rows, x kernels.Floats) {
	if out.N != x.Rows || out.Cols != x.Cols {
		panic(fmt.Sprintf("cuda: Quantize: out is [%d, %d], x is [%d, %d]", out.N, out.Cols, x.Rows, x.Cols))
	}
	failed, op := d.check("Quantize", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("quantize", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(x.Buf), uint64(x.Stride), failed, op)
}
