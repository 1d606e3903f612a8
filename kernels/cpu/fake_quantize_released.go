package cpu

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// releasedRows is FakeQuantizeReleased under way.
type releasedRows struct {
	out, x matrix
	cols   int
	bits   int
}

// FakeQuantizeReleased implements kernels.TrainDevice.
func (d *Device) FakeQuantizeReleased(out, x kernels.Floats, bits int) {
	wantShape("FakeQuantizeReleased", "out", out, x.Rows, x.Cols)
	d.train.released = releasedRows{matrixOf(out, false), matrixOf(x, false), x.Cols, bits}
	d.eachRow("FakeQuantizeReleased", x.Rows, &d.train.released, quant.ErrNotFinite)
}

func (t *releasedRows) row(_, i int) bool {
	return quant.Released(t.out.v[i*t.out.row:][:t.cols], t.x.v[i*t.x.row:][:t.cols], t.bits)
}
