package cpu

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// embedTask looks up one token a chunk.
type embedTask struct {
	isa   *floatKernels
	out   []float32
	ids   []int32
	data  []byte
	table kernels.Weight

	stride int
}

// Embed implements kernels.Device.
func (d *Device) Embed(out kernels.Floats, table kernels.Weight, ids kernels.Buf[int32]) {
	kernels.CheckEmbed("cpu: Embed", out, table, ids)
	t := &d.embed
	*t = embedTask{isa: &d.isa.floatKernels, out: view(out.Buf), ids: view(ids), data: view(table.Data), table: table, stride: out.Stride}
	for i, id := range t.ids {
		if id < 0 || int(id) >= table.Out {
			panic(fmt.Sprintf("cpu: Embed: token id %d at %d, table has %d rows", id, i, table.Out))
		}
	}
	d.run(len(t.ids), t)
	*t = embedTask{}
}

func (t *embedTask) run(worker, chunk int) {
	rowBytes := t.table.Type.RowBytes(t.table.In)
	row := t.data[int(t.ids[chunk])*rowBytes:][:rowBytes]
	dst := t.out[chunk*t.stride:][:t.stride]
	t.isa.widen[t.table.Type](dst, fp.Lanes, row, t.stride)
}
