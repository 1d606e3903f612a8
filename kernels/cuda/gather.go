package cuda

import (
	"errors"

	"github.com/llmqat/llmqat/kernels"
)

var errRow = errors.New("x has no such row")

// Gather implements kernels.Device.
func (d *Device) Gather(out kernels.Floats, x kernels.Floats, rows kernels.Buf[int32]) {
	kernels.CheckGather("cuda: Gather", out, x, rows)
	failed, op := d.check("Gather", errRow)
	d.launchRows("gather", out.Rows, out.Stride, at(out.Buf), uint64(out.Stride), at(x.Buf), uint64(x.Rows), uint64(x.Stride), uint64(x.Cols), at(rows), failed, op)
}
