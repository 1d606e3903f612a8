//go:build !purego

package cpu

import (
	"github.com/klauspost/cpuid/v2"

	"github.com/llmqat/llmqat/kernels"
)

//go:generate go test ./internal/asmgen -generate

var intAVX2 = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles: []dotTile{{1, dotsW4x1AVX2}, {1, dotsW4x2AVX2}, {1, dotsW4x3AVX2},
			{1, dotsW4x4AVX2}, {1, dotsW4x5AVX2}, {1, dotsW4x6AVX2}},
		span: 24 << 10,
	},
	w8: dotKernel{
		tiles: []dotTile{{1, dotsW8x1AVX2}, {1, dotsW8x2AVX2}, {1, dotsW8x3AVX2},
			{1, dotsW8x4AVX2}, {1, dotsW8x5AVX2}, {1, dotsW8x6AVX2}},
		span: 24 << 10,
	},
	scaleSums: scaleVectors(8, scaleSumsAVX2, scaleSumsGeneric),
	addSums:   scaleVectors(8, addSumsAVX2, addSumsGeneric),
}

var intAVXVNNI = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles: []dotTile{{1, dotsW4x1AVXVNNI}, {2, dotsW4x2AVXVNNI},
			{2, dotsW4x3AVXVNNI}, {2, dotsW4x4AVXVNNI}},
	},
	w8: dotKernel{
		offset: 128,
		tiles: []dotTile{{1, dotsW8x1AVXVNNI}, {2, dotsW8x2AVXVNNI},
			{2, dotsW8x3AVXVNNI}, {2, dotsW8x4AVXVNNI}},
	},
	scaleSums: intAVX2.scaleSums,
	addSums:   intAVX2.addSums,
}

var intVNNI = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles: []dotTile{{1, dotsW4x1VNNI}, {4, dotsW4x2VNNI}, {4, dotsW4x3VNNI},
			{4, dotsW4x4VNNI}, {4, dotsW4x5VNNI}, {4, dotsW4x6VNNI}},
	},
	w8: dotKernel{
		offset: 128,
		tiles: []dotTile{{1, dotsW8x1VNNI}, {4, dotsW8x2VNNI}, {4, dotsW8x3VNNI},
			{4, dotsW8x4VNNI}, {4, dotsW8x5VNNI}, {4, dotsW8x6VNNI}},
	},
	scaleSums: intAVX2.scaleSums,
	addSums:   intAVX2.addSums,
}

var sampleAVX2 = sampleKernels{blockMaxAVX2, weighLogitsAVX2}

var peakAVX2 = peakKernels{
	read: readAVX2,
	w4:   peakLoop{1536, peakW4AVX2},
	w8:   peakLoop{256, peakW8AVX2},
	fma:  peakLoop{96, peakFMAAVX2},
}

var peakAVXVNNI = peakKernels{
	read: readAVX2,
	w4:   peakLoop{384, peakInt8AVXVNNI},
	w8:   peakLoop{384, peakInt8AVXVNNI},
	fma:  peakAVX2.fma,
}

var peakVNNI = peakKernels{
	read: readAVX512,
	w4:   peakLoop{1024, peakInt8VNNI},
	w8:   peakLoop{1024, peakInt8VNNI},
	fma:  peakLoop{256, peakFMAAVX512},
}

var floatAVX2 = floatKernels{
	dot: [...]func([]byte, []float32) float32{
		kernels.Int4:     dotInt4AVX2,
		kernels.Int8:     dotInt8AVX2,
		kernels.Float16:  dotFloat16AVX2,
		kernels.BFloat16: dotBFloat16AVX2,
		kernels.Float32:  dotFloat32AVX2,
	},
	widen: [...]func([]float32, int, []byte, int){
		kernels.Int4:     widenInt4AVX2,
		kernels.Int8:     widenInt8AVX2,
		kernels.Float16:  widenFloat16AVX2,
		kernels.BFloat16: widenBFloat16AVX2,
		kernels.Float32:  widenFloat32AVX2,
	},
	panelRows: 4,
	tile2:     floatTile2AVX2,
	tile3:     floatTile3AVX2,
	sums:      sumFours(floatSumsAVX2, floatSumsGeneric(4)),
}

// sumFours is fours for whole panels of four rows, and rest for the others.
func sumFours(fours, rest sumsFunc) sumsFunc {
	return func(out []float32, stride int, total []float32, tokens, rows int, scale []float32, add bool) {
		if rows < 4 {
			rest(out, stride, total, tokens, rows, scale, add)
			return
		}
		fours(out, stride, total, tokens, rows, scale, add)
	}
}

var floatAVX512 = floatKernels{
	dot: floatAVX2.dot,
	stream: [...][]streamFunc{
		kernels.Int4: {streamInt4x1AVX512, streamInt4x2AVX512, streamInt4x4AVX512, streamInt4x6AVX512, streamInt4x8AVX512},
		kernels.Int8: {streamInt8x1AVX512, streamInt8x2AVX512, streamInt8x4AVX512, streamInt8x6AVX512, streamInt8x8AVX512},
		kernels.Float16: {nil, streamFloat16x2AVX512, streamFloat16x4AVX512,
			streamFloat16x6AVX512, streamFloat16x8AVX512},
		kernels.BFloat16: {nil, streamBFloat16x2AVX512, streamBFloat16x4AVX512,
			streamBFloat16x6AVX512, streamBFloat16x8AVX512},
		kernels.Float32: {nil, streamFloat32x2AVX512, streamFloat32x4AVX512,
			streamFloat32x6AVX512, streamFloat32x8AVX512},
	},
	widen:     floatAVX2.widen,
	panelRows: 16,
	tile2:     floatTile2AVX512,
	tile3:     floatTile3AVX512,
	sums:      floatSumsAVX512,
}

var trainAVX2 = trainKernels{expScaledAVX2, productsAVX2, softmaxGradAVX2, swigluGradAVX2, combineAVX2, dequantizeAVX2}

var matmulAVX2 = matmulKernels{
	[...]matmulTile{matmulTile1AVX2, matmulTile2AVX2, matmulTile3AVX2, matmulTile4AVX2, matmulTile5AVX2, matmulTile6AVX2}, turnAVX2,
}

func init() {
	if !cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		return
	}
	available = append(available, isa{"avx2", intAVX2, floatAVX2, rowAVX2, attentionAVX2, matmulAVX2, trainAVX2, sampleAVX2, peakAVX2})
	if cpuid.CPU.Supports(cpuid.AVXVNNI) {
		available = append(available, isa{"avxvnni", intAVXVNNI, floatAVX2, rowAVX2, attentionAVXVNNI, matmulAVX2, trainAVX2, sampleAVX2, peakAVXVNNI})
	}
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI) {
		available = append(available, isa{"avx512vnni", intVNNI, floatAVX512, rowAVX512, attentionVNNI, matmulAVX2, trainAVX2, sampleAVX2, peakVNNI})
	}
}
