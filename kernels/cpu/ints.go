package cpu

import "github.com/llmqat/llmqat/kernels"

// intKernels are the inner loops of linear layers with integer rows.
type intKernels struct{}

var intGeneric, intAVX2, intNEON intKernels

type linearTask struct{}

func (t *linearTask) run(worker, chunk int) {}

func (d *Device) Linear(out kernels.Floats, x kernels.Rows, w ...kernels.Weight) {}
func (d *Device) LinearAdd(out kernels.Floats, x kernels.Rows, w kernels.Weight) {}
