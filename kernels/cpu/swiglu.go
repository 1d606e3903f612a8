package cpu

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// SwiGLU implements kernels.Device.
func (d *Device) SwiGLU(out kernels.Rows, gateUp kernels.Floats) {
	kernels.CheckSwiGLU("cpu: SwiGLU", out, gateUp)
	t := &d.rows.swiglu
	t.out.set(d, out)
	t.x, t.stride = view(gateUp.Buf), gateUp.Stride
	d.eachRow("SwiGLU", out.N, t, quant.ErrNotFinite)
}

type swigluRows struct {
	out    outRows
	x      []float32
	stride int
}

func (t *swigluRows) row(worker, i int) bool {
	x := t.x[i*t.stride:][:2*t.out.cols]
	y := t.out.floats(worker, i)
	t.out.k.swigluAny(y, x[:t.out.cols], x[t.out.cols:])
	return t.out.store(i, y)
}

func swigluGeneric(y, gate, up []float32) {
	for i, g := range gate {
		y[i] = fp.SiLU(g) * up[i]
	}
}
