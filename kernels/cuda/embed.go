package cuda

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

var errToken = errors.New("the table has no such token id")

var embedKernels = map[kernels.WeightType]string{kernels.Float16: "embed_f16", kernels.BFloat16: "embed_bf16", kernels.Float32: "embed_f32"}

// Embed implements kernels.Device.
func (d *Device) Embed(out kernels.Floats, table kernels.Weight, ids kernels.Buf[int32]) {
	if table.Type.Quantized() {
		panic(fmt.Sprintf("cuda: Embed: table is %v, want floats", table.Type))
	}
	if out.Rows != ids.N || out.Cols != table.In || out.Stride != quant.Align(out.Cols) {
		panic(fmt.Sprintf("cuda: Embed: out is [%d, %d] of stride %d for %d ids and a table of [%d, %d]",
			out.Rows, out.Cols, out.Stride, ids.N, table.Out, table.In))
	}
	failed, op := d.check("Embed", errToken)
	d.launchRows(embedKernels[table.Type], out.Rows, out.Stride, at(out.Buf), uint64(out.Stride), at(table.Data), uint64(table.Out), at(ids), failed, op)
}
