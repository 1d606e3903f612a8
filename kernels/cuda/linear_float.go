package cuda

import "github.com/llmqat/llmqat/kernels"

// fewFloatTokens and fewFloatRows are what one CTA of linear_float_few.cu does.
const (
	fewFloatTokens = 8
	fewFloatRows   = 16
)

// linearFloat queues the product of float rows with weights of any type.
func (d *Device) linearFloat(l linearParams, x kernels.Rows, w *kernels.Weight) {
	var scale uint64
	if w.Type.Quantized() {
		scale = at(w.Scale)
	}
	for from := 0; from < x.N; from += fewFloatTokens {
		n := min(x.N-from, fewFloatTokens)
		s := shape{ctas: [3]uint32{ceil(w.Out, fewFloatRows), 1, 1}, threads: fewThreads}
		d.launch("linear_f_"+w.Type.String()+"_few", s, l.out+uint64(from)*l.stride*4, l.stride, l.column, l.add,
			at(x.F.Slice(from*x.Stride, x.F.N)), uint64(n), uint64(x.Stride), at(w.Data), scale, uint64(w.Out))
	}
}
