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
		tiles:  []tileFunc{dotsW4x1AVX2, dotsW4x2AVX2, dotsW4x3AVX2, dotsW4x4AVX2, dotsW4x5AVX2, dotsW4x6AVX2},
	},
	w8: dotKernel{
		tiles: []tileFunc{dotsW8x1AVX2, dotsW8x2AVX2, dotsW8x3AVX2, dotsW8x4AVX2, dotsW8x5AVX2, dotsW8x6AVX2},
	},
	scaleSums: scaleEights(scaleSumsAVX2, scaleSumsGeneric),
	addSums:   scaleEights(addSumsAVX2, addSumsGeneric),
}

// intAVXVNNI's blocks take their 4 rows two at a time: 16 registers hold no more.
var intAVXVNNI = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles: []tileFunc{dotsW4x1AVXVNNI, dotsW4x2AVXVNNI, dotsW4x3AVXVNNI, dotsW4x4AVXVNNI,
			dotsW4x5AVXVNNI, dotsW4x6AVXVNNI, dotsW4x7AVXVNNI, dotsW4x8AVXVNNI},
		block: dotsW4x4AVXVNNIRows2,
	},
	w8: dotKernel{
		offset: 128,
		tiles: []tileFunc{dotsW8x1AVXVNNI, dotsW8x2AVXVNNI, dotsW8x3AVXVNNI, dotsW8x4AVXVNNI,
			dotsW8x5AVXVNNI, dotsW8x6AVXVNNI, dotsW8x7AVXVNNI, dotsW8x8AVXVNNI},
		block: dotsW8x4AVXVNNIRows2,
	},
	scaleSums: intAVX2.scaleSums,
	addSums:   intAVX2.addSums,
}

var intVNNI = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles: []tileFunc{dotsW4x1VNNI, dotsW4x2VNNI, dotsW4x3VNNI, dotsW4x4VNNI,
			dotsW4x5VNNI, dotsW4x6VNNI, dotsW4x7VNNI, dotsW4x8VNNI},
		block: dotsW4x4VNNIRows4,
	},
	w8: dotKernel{
		offset: 128,
		tiles: []tileFunc{dotsW8x1VNNI, dotsW8x2VNNI, dotsW8x3VNNI, dotsW8x4VNNI,
			dotsW8x5VNNI, dotsW8x6VNNI, dotsW8x7VNNI, dotsW8x8VNNI},
		block: dotsW8x4VNNIRows4,
	},
	scaleSums: intAVX2.scaleSums,
	addSums:   intAVX2.addSums,
}

// scaleEights is eights for as many outputs as it takes, and rest for the others.
func scaleEights(eights, rest scaleFunc) scaleFunc {
	return func(out []float32, sum []int32, wScale []float32, xScale float32, bias int32) {
		n := len(out) &^ 7
		eights(out[:n], sum[:n], wScale[:n], xScale, bias)
		rest(out[n:], sum[n:], wScale[n:], xScale, bias)
	}
}

var sampleAVX2 = sampleKernels{blockMaxAVX2, weighLogitsAVX2}

var peakAVX2 = peakKernels{
	read: readAVX2,
	int8: peakLoop{1536, peakInt8AVX2},
	fma:  peakLoop{96, peakFMAAVX2},
}

var peakAVXVNNI = peakKernels{
	read: readAVX2,
	int8: peakLoop{384, peakInt8AVXVNNI},
	fma:  peakAVX2.fma,
}

var peakVNNI = peakKernels{
	read: readAVX512,
	int8: peakLoop{1024, peakInt8VNNI},
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

var floatAVX512 = floatKernels{
	dot: [...]func([]byte, []float32) float32{
		kernels.Int4:     dotInt4AVX512,
		kernels.Int8:     dotInt8AVX2,
		kernels.Float16:  dotFloat16AVX2,
		kernels.BFloat16: dotBFloat16AVX2,
		kernels.Float32:  dotFloat32AVX2,
	},
	widen:     floatAVX2.widen,
	panelRows: 16,
	tile2:     floatTile2AVX512,
	tile3:     floatTile3AVX512,
}

func init() {
	if !cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		return
	}
	available = append(available, isa{"avx2", intAVX2, floatAVX2, rowAVX2, attentionAVX2, sampleAVX2, peakAVX2})
	if cpuid.CPU.Supports(cpuid.AVXVNNI) {
		available = append(available, isa{"avxvnni", intAVXVNNI, floatAVX2, rowAVX2, attentionAVXVNNI, sampleAVX2, peakAVXVNNI})
	}
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI) {
		available = append(available, isa{"avx512vnni", intVNNI, floatAVX512, rowAVX2, attentionVNNI, sampleAVX2, peakVNNI})
	}
}
