package cuda

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Quantize implements kernels.Device.
func (d *Device) Quantize(out kernels.Rows, x kernels.Floats) {
	kernels.CheckQuantize("cuda: Quantize", out, x)
	failed, op := d.check("Quantize", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("quantize", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(x.Buf), uint64(x.Stride), failed, op)
}
