package cpu

import "github.com/llmqat/llmqat/kernels"

// floatKernels are the inner loops of linear layers with float rows.
type floatKernels struct{}

var floatGeneric, floatAVX2, floatNEON floatKernels

func (d *Device) Embed(out kernels.Floats, table kernels.Weight, ids kernels.Buf[int32]) {}
