package cuda

import (
	"errors"

	"github.com/llmqat/llmqat/kernels"
)

var errToken = errors.New("the table has no such token id")

var embedKernels = map[kernels.WeightType]string{kernels.Float16: "embed_f16", kernels.BFloat16: "embed_bf16", kernels.Float32: "embed_f32"}

// Embed implements kernels.Device.
func (d *Device) Embed(out kernels.Floats, table kernels.Weight, ids kernels.Buf[int32]) {
	kernels.CheckEmbed("cuda: Embed", out, table, ids)
	failed, op := d.check("Embed", errToken)
	d.launchRows(embedKernels[table.Type], out.Rows, out.Stride, at(out.Buf), uint64(out.Stride), at(table.Data), uint64(table.Out), at(ids), failed, op)
}
