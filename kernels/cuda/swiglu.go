package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// SwiGLU implements kernels.Device.
func (d *Device) SwiGLU(out kernels.Rows, gateUp kernels.Floats) {
	if out.N != gateUp.Rows || 2*out.Cols != gateUp.Cols {
		panic(fmt.Sprintf("cuda: SwiGLU: out is [%d, %d], gateUp is [%d, %d]", out.N, out.Cols, gateUp.Rows, gateUp.Cols))
	}
	failed, op := d.check("SwiGLU", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("swiglu", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(gateUp.Buf), uint64(gateUp.Stride), failed, op)
}
