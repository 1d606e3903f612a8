package cpu

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

// Gather implements kernels.Device.
func (d *Device) Gather(out kernels.Floats, x kernels.Floats, rows kernels.Buf[int32]) {
	kernels.CheckGather("cpu: Gather", out, x, rows)
	for i, r := range view(rows) {
		if r < 0 || int(r) >= x.Rows {
			panic(fmt.Sprintf("cpu: Gather: rows[%d] is %d, x has %d rows", i, r, x.Rows))
		}
	}
	t := &d.rows.gather
	t.out, t.x, t.rows = out, x, view(rows)
	d.eachRow("Gather", out.Rows, t, nil)
}

type gatherRows struct {
	out, x kernels.Floats
	rows   []int32
}

func (t *gatherRows) row(_, i int) bool {
	out := view(t.out.Buf)[i*t.out.Stride:][:t.out.Stride]
	copy(out, view(t.x.Buf)[int(t.rows[i])*t.x.Stride:][:t.x.Cols])
	clear(out[t.x.Cols:])
	return true
}
