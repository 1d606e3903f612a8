//go:build !purego

package cpu

import "github.com/llmqat/llmqat/kernels"

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

var peakNEON = peakKernels{
	read: readNEON,
	int8: peakLoop{256, peakInt8NEON},
	fma:  peakLoop{64, peakFMANEON},
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
	available = append(available, isa{"neon", intNEON, floatNEON, rowNEON, attentionNEON, peakNEON})
}
