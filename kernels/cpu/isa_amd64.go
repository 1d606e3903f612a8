//go:build !purego

package cpu

import (
	"github.com/klauspost/cpuid/v2"

	"github.com/llmqat/llmqat/kernels"
)

//go:generate go test ./internal/asmgen -generate

var floatAVX2 = floatKernels{
	dot: [...]func([]byte, []float32) float32{
		kernels.Int4:     dotInt4AVX2,
		kernels.Int8:     dotInt8AVX2,
		kernels.Float16:  dotFloat16AVX2,
		kernels.BFloat16: dotBFloat16AVX2,
		kernels.Float32:  dotFloat32AVX2,
	},
	widen: [...]func([]float32, int, []byte, int, int){
		kernels.Int4:     widenInt4AVX2,
		kernels.Int8:     widenInt8AVX2,
		kernels.Float16:  widenFloat16AVX2,
		kernels.BFloat16: widenBFloat16AVX2,
		kernels.Float32:  widenFloat32AVX2,
	},
	panelRows: 4,
	tile2:     floatTile2AVX2,
	tile3:     floatTile3AVX2,
}

func init() {
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		available = append(available, isa{"avx2", intAVX2, floatAVX2, rowAVX2, attentionAVX2})
	}
}
