package cpu

import "github.com/llmqat/llmqat/kernels"

// gateRows is GateGrad under way.
type gateRows struct {
	dx, x matrix
	cols  int
	limit float32
}

// GateGrad implements kernels.TrainDevice.
func (d *Device) GateGrad(dx, x kernels.Floats, limit float32) {
	wantShape("GateGrad", "dx", dx, x.Rows, x.Cols)
	d.train.gate = gateRows{matrixOf(dx, false), matrixOf(x, false), x.Cols, limit}
	d.eachSpan(x.Rows, 16, &d.train.gate)
}

func (t *gateRows) span(_, from, to int) {
	for i := from; i < to; i++ {
		dx := t.dx.v[i*t.dx.row:][:t.cols]
		for j, v := range t.x.v[i*t.x.row:][:t.cols] {
			if v >= t.limit || v <= -t.limit {
				dx[j] = 0
			}
		}
	}
}
