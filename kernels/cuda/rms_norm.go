package cuda

import (
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// RMSNorm implements kernels.Device.
func (d *Device) RMSNorm(out kernels.Rows, x kernels.Floats, weight kernels.Buf[float32], eps float32) {
	kernels.CheckRMSNorm("cuda: RMSNorm", out, x, weight)
	failed, op := d.check("RMSNorm", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("rms_norm", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(x.Buf), uint64(x.Stride), at(weight), uint64(math.Float32bits(eps)), failed, op)
}
