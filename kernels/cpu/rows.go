package cpu

import "github.com/llmqat/llmqat/kernels"

// rowKernels are the inner loops of operators on single rows.
type rowKernels struct{}

var rowGeneric, rowAVX2, rowNEON rowKernels

type rowsTask struct{}

func (d *Device) RMSNorm(out kernels.Rows, x kernels.Floats, weight kernels.Buf[float32], eps float32) {
}
func (d *Device) Quantize(out kernels.Rows, x kernels.Floats)                          {}
func (d *Device) SwiGLU(out kernels.Rows, gateUp kernels.Floats)                       {}
func (d *Device) Gather(out kernels.Floats, x kernels.Floats, rows kernels.Buf[int32]) {}
