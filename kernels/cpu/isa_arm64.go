//go:build !purego

package cpu

import (
	"github.com/klauspost/cpuid/v2"

	"github.com/llmqat/llmqat/kernels"
)

var intNEON = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles:  []dotTile{{1, dotsW4x1NEON}, {1, dotsW4x2NEON}, {1, dotsW4x3NEON}, {1, dotsW4x4NEON}},
	},
	w8: dotKernel{
		tiles: []dotTile{{1, dotsW8x1NEON}, {1, dotsW8x2NEON}, {1, dotsW8x3NEON}, {1, dotsW8x4NEON}},
	},
	scaleSums: scaleVectors(4, scaleSumsNEON, scaleSumsGeneric),
	addSums:   scaleVectors(4, addSumsNEON, addSumsGeneric),
}

// intDOT multiplies with FEAT_DotProd's SDOT. Nothing here has been timed on a CPU of
// this kind, only proven under emulation.
var intDOT = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles:  []dotTile{{1, dotsW4x1DOT}, {1, dotsW4x2DOT}, {1, dotsW4x3DOT}, {4, dotsW4x4DOT}},
	},
	w8: dotKernel{
		tiles: []dotTile{{1, dotsW8x1DOT}, {1, dotsW8x2DOT}, {1, dotsW8x3DOT}, {4, dotsW8x4DOT}},
	},
	scaleSums: intNEON.scaleSums,
	addSums:   intNEON.addSums,
}

// intMM is intDOT with four tokens by FEAT_I8MM's SMMLA, which does two tokens by two
// weight rows at once and so has nothing for a stream of single rows. Not timed, as intDOT.
var intMM = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles:  []dotTile{{1, dotsW4x1DOT}, {1, dotsW4x2DOT}, {1, dotsW4x3DOT}, {4, dotsW4x4MM}},
	},
	w8: dotKernel{
		tiles: []dotTile{{1, dotsW8x1DOT}, {1, dotsW8x2DOT}, {1, dotsW8x3DOT}, {4, dotsW8x4MM}},
	},
	scaleSums: intNEON.scaleSums,
	addSums:   intNEON.addSums,
}

var sampleNEON = sampleKernels{blockMaxNEON, weighLogitsNEON}

var peakNEON = peakKernels{
	read: readNEON,
	w4:   peakLoop{256, peakInt8NEON},
	w8:   peakLoop{256, peakInt8NEON},
	fma:  peakLoop{64, peakFMANEON},
}

var peakDOT = peakKernels{
	read: readNEON,
	w4:   peakLoop{256, peakInt8DOT},
	w8:   peakLoop{256, peakInt8DOT},
	fma:  peakNEON.fma,
}

var peakMM = peakKernels{
	read: readNEON,
	w4:   peakLoop{512, peakInt8MM},
	w8:   peakLoop{512, peakInt8MM},
	fma:  peakNEON.fma,
}

var floatNEON = floatKernels{
	dot: [...]func([]byte, []float32) float32{
		kernels.Int4:     dotInt4NEON,
		kernels.Int8:     dotInt8NEON,
		kernels.Float16:  dotFloat16NEON,
		kernels.BFloat16: dotBFloat16NEON,
		kernels.Float32:  dotFloat32NEON,
	},
	widen: [...]func([]float32, int, []byte, int){
		kernels.Int4:     widenInt4NEON,
		kernels.Int8:     widenInt8NEON,
		kernels.Float16:  widenFloat16NEON,
		kernels.BFloat16: widenBFloat16NEON,
		kernels.Float32:  widenFloat32NEON,
	},
	panelRows: 4,
	tile2:     floatTile2NEON,
	tile3:     floatTile3NEON,
	sums:      floatSumsGeneric(genericPanelRows),
}

func init() {
	available = append(available, isa{"neon", intNEON, floatNEON, rowNEON, attentionNEON, matmulGenerics, trainGeneric, sampleNEON, peakNEON})
	if !cpuid.CPU.Supports(cpuid.ASIMDDP) {
		return
	}
	available = append(available, isa{"neondot", intDOT, floatNEON, rowNEON, attentionDOT, matmulGenerics, trainGeneric, sampleNEON, peakDOT})
	if cpuid.CPU.Supports(cpuid.I8MM) {
		available = append(available, isa{"neonmm", intMM, floatNEON, rowNEON, attentionDOT, matmulGenerics, trainGeneric, sampleNEON, peakMM})
	}
}
