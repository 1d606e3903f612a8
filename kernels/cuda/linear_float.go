package cuda

import "github.com/llmqat/llmqat/kernels"

const (
	fewFloatTokens = 8 // linear_float_few.cu: its tokens, and the rows of a CTA
	fewFloatRows   = 16
	tileTokens     = 64 // linear_float.cu: a tile
	tileFloatRows  = 128
	floatThreads   = 256
	runInputs      = 64 // as in linear_float.h
)

var floatKernels = map[kernels.WeightType]struct{ few, tile string }{
	kernels.Int4:     {"linear_f_int4_few", "linear_f_int4_tile"},
	kernels.Int8:     {"linear_f_int8_few", "linear_f_int8_tile"},
	kernels.Float16:  {"linear_f_float16_few", "linear_f_float16_tile"},
	kernels.BFloat16: {"linear_f_bfloat16_few", "linear_f_bfloat16_tile"},
	kernels.Float32:  {"linear_f_float32_few", "linear_f_float32_tile"},
}

// linearFloat queues the product of float rows with weights of any type.
func (d *Device) linearFloat(l linearParams, x kernels.Rows, w *kernels.Weight) {
	kernel := floatKernels[w.Type].few
	s := shape{threads: floatThreads}
	if x.N <= fewFloatTokens {
		s.ctas = [3]uint32{ceil(w.Out, fewFloatRows), 1, 1}
	} else {
		kernel = floatKernels[w.Type].tile
		s.ctas = [3]uint32{ceil(x.N, tileTokens), ceil(w.Out, tileFloatRows), 1}
		s.shared = linearFloatShared(w.Type)
	}
	var scale uint64
	if w.Type.Quantized() {
		scale = at(w.Scale)
	}
	d.launch(kernel, s, l.out, l.stride, l.column, l.add,
		at(x.F.Buf), uint64(x.N), uint64(x.Stride), at(w.Data), scale, uint64(w.Out))
}

// linearFloatShared is the dynamic shared memory of a tile: stages of one run of
// float32 tokens and of the weight's rows.
func linearFloatShared(t kernels.WeightType) uint32 {
	stages := 3
	if t == kernels.Float32 {
		stages = 2
	}
	return uint32(stages * (tileTokens*runInputs*4 + tileFloatRows*t.RowBytes(runInputs)))
}
