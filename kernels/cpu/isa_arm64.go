//go:build !purego

package cpu

import (
	"github.com/klauspost/cpuid/v2"

	"github.com/llmqat/llmqat/kernels"
)

var intNEON = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles:  []tileFunc{dotsW4x1NEON, dotsW4x2NEON, dotsW4x3NEON, dotsW4x4NEON},
	},
	w8: dotKernel{
		tiles: []tileFunc{dotsW8x1NEON, dotsW8x2NEON, dotsW8x3NEON, dotsW8x4NEON},
	},
	scaleSums: scaleSumsGeneric,
	addSums:   addSumsGeneric,
}

// intDOT multiplies with FEAT_DotProd's SDOT. Nothing here has been timed on a CPU of
// this kind, only proven under emulation.
var intDOT = intKernels{
	w4: dotKernel{
		offset: 8,
		tiles: []tileFunc{dotsW4x1DOT, dotsW4x2DOT, dotsW4x3DOT, dotsW4x4DOT,
			dotsW4x5DOT, dotsW4x6DOT, dotsW4x7DOT, dotsW4x8DOT},
		block: dotsW4x4DOTRows4,
	},
	w8: dotKernel{
		tiles: []tileFunc{dotsW8x1DOT, dotsW8x2DOT, dotsW8x3DOT, dotsW8x4DOT,
			dotsW8x5DOT, dotsW8x6DOT, dotsW8x7DOT, dotsW8x8DOT},
		block: dotsW8x4DOTRows4,
	},
	scaleSums: scaleSumsGeneric,
	addSums:   addSumsGeneric,
}

// intMM is intDOT with blocks by FEAT_I8MM's SMMLA, which does two tokens by two
// weight rows at once and so has nothing for a stream of single rows. Not timed, as intDOT.
var intMM = intKernels{
	w4:        dotKernel{offset: intDOT.w4.offset, tiles: intDOT.w4.tiles, block: dotsW4x4MMRows4},
	w8:        dotKernel{offset: intDOT.w8.offset, tiles: intDOT.w8.tiles, block: dotsW8x4MMRows4},
	scaleSums: intDOT.scaleSums,
	addSums:   intDOT.addSums,
}

var sampleNEON = sampleKernels{blockMaxNEON, weighLogitsNEON}

var peakNEON = peakKernels{
	read: readNEON,
	int8: peakLoop{256, peakInt8NEON},
	fma:  peakLoop{64, peakFMANEON},
}

var peakDOT = peakKernels{
	read: readNEON,
	int8: peakLoop{256, peakInt8DOT},
	fma:  peakNEON.fma,
}

var peakMM = peakKernels{
	read: readNEON,
	int8: peakLoop{512, peakInt8MM},
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
	widen: [...]func([]float32, int, []byte, int, int){
		kernels.Int4:     widenInt4NEON,
		kernels.Int8:     widenInt8NEON,
		kernels.Float16:  widenFloat16NEON,
		kernels.BFloat16: widenBFloat16NEON,
		kernels.Float32:  widenFloat32NEON,
	},
	panelRows: 4,
	tile2:     floatTile2NEON,
	tile3:     floatTile3NEON,
}

func init() {
	available = append(available, isa{"neon", intNEON, floatNEON, rowNEON, attentionNEON, sampleNEON, peakNEON})
	if !cpuid.CPU.Supports(cpuid.ASIMDDP) {
		return
	}
	available = append(available, isa{"neondot", intDOT, floatNEON, rowNEON, attentionDOT, sampleNEON, peakDOT})
	if cpuid.CPU.Supports(cpuid.I8MM) {
		available = append(available, isa{"neonmm", intMM, floatNEON, rowNEON, attentionDOT, sampleNEON, peakMM})
	}
}
