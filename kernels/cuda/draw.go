package cuda

import "github.com/llmqat/llmqat/kernels"

var _ kernels.Drawer = (*Device)(nil)

// Draw implements kernels.Drawer.
func (d *Device) Draw(ids kernels.Buf[int32], logits kernels.Floats, draws kernels.Buf[int32]) {
	kernels.CheckDraw("cuda: Draw", ids, logits, draws)
	d.launchRows("draw", logits.Rows, logits.Cols, at(ids), at(logits.Buf), uint64(logits.Stride), uint64(logits.Cols), at(draws))
}
