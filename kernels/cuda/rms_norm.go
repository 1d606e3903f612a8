package cuda

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// maxNormed is the longest row that rms_norm.cu has shared memory for.
const maxNormed = 32768

// RMSNorm implements kernels.Device.
func (d *Device) RMSNorm(out kernels.Rows, x kernels.Floats, weight kernels.Buf[float32], eps float32) {
	kernels.CheckRMSNorm("cuda: RMSNorm", out, x, weight)
	if x.Stride > maxNormed {
		d.fail(fmt.Errorf("RMSNorm: rows of %d columns; this device takes up to %d", x.Stride, maxNormed))
		return
	}
	failed, op := d.check("RMSNorm", quant.ErrNotFinite)
	o := paramsOf(out)
	d.launchRows("rms_norm", out.N, out.Cols, o.bits, o.cols, o.stride, o.q, o.scale, o.sum, o.f,
		at(x.Buf), uint64(x.Stride), at(weight), uint64(math.Float32bits(eps)), failed, op)
}
