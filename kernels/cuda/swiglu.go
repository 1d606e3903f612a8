package cuda

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// SwiGLU implements kernels.Device.
func (d *Device) SwiGLU(out kernels.Rows, gateUp kernels.Floats) {
	kernels.CheckSwiGLU("cuda: SwiGLU", out, gateUp)
	failed, op := d.check("SwiGLU", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("swiglu", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(gateUp.Buf), uint64(gateUp.Stride), failed, op)
}
