package cuda

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// RMSNorm implements kernels.Device.
func (d *Device) RMSNorm(out kernels.Rows, x kernels.Floats, weight kernels.Buf[float32], eps float32) {
	if out.N != x.Rows || out.Cols != x.Cols || weight.N < x.Cols || x.Stride%fp.Lanes != 0 {
		panic(fmt.Sprintf("cuda: RMSNorm: out is [%d, %d], x is [%d, %d] by %d, weight is [%d]",
			out.N, out.Cols, x.Rows, x.Cols, x.Stride, weight.N))
	}
	failed, op := d.check("RMSNorm", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("rms_norm", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(x.Buf), uint64(x.Stride), at(weight), uint64(math.Float32bits(eps)), failed, op)
}
