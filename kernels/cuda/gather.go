package cuda

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

var errRow = errors.New("x has no such row")

// Gather implements kernels.Device.
func (d *Device) Gather(out kernels.Floats, x kernels.Floats, rows kernels.Buf[int32]) {
	if out.Rows != rows.N || out.Cols != x.Cols {
		panic(fmt.Sprintf("cuda: Gather: out is [%d, %d], x is [%d, %d], rows are [%d]", out.Rows, out.Cols, x.Rows, x.Cols, rows.N))
	}
	failed, op := d.check("Gather", errRow)
	d.launchRows("gather", out.Rows, out.Stride, at(out.Buf), uint64(out.Stride), at(x.Buf), uint64(x.Rows), uint64(x.Stride), uint64(x.Cols), at(rows), failed, op)
}
