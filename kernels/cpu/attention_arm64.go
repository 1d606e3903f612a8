//go:build !purego

package cpu

var attentionNEON = attentionKernels{
	storeKernels:  storeKernels{store4NEON, store16NEON},
	unpackKernels: unpackKernels{unpack4NEON, unpack8NEON, unpack16NEON, affineNEON},
	scoreKernels:  scoreKernels{scoresBy(4, nibblesNEON, scores4NEON), scoresBy(8, nil, scores8NEON), scoresFloatNEON},
	valueKernels: valueKernels{addValuesNEON, weighNEON, quads4NEON, quads8NEON,
		addInts4NEON, addInts8NEON, scaleIntsNEON},
	softmax:  softmaxNEON,
	prefetch: prefetchNEON,
	rescale:  rescaleGeneric,
	merge:    mergeNEON,
	divide:   divideNEON,
}

// attentionDOT multiplies integers with FEAT_DotProd's SDOT.
var attentionDOT = attentionKernels{
	storeKernels:  attentionNEON.storeKernels,
	unpackKernels: attentionNEON.unpackKernels,
	scoreKernels:  scoreKernels{scoresBy(4, nibblesNEON, scoresDOT), scoresBy(8, nil, scoresDOT), scoresFloatNEON},
	valueKernels: valueKernels{addValuesNEON, weighNEON, quads4NEON, quads8NEON,
		addIntsDOT, addIntsDOT, scaleIntsNEON},
	softmax:  softmaxNEON,
	prefetch: prefetchNEON,
	rescale:  rescaleGeneric,
	merge:    mergeNEON,
	divide:   divideNEON,
}

// The functions are the entries of attentionKernels.

//go:noescape
func store4NEON(dst []uint8, x []float32, scale, zero, lo, hi, off float32)

//go:noescape
func store16NEON(dst []uint16, x []float32)

//go:noescape
func nibblesNEON(dst, src []uint8, dim int)

//go:noescape
func unpack4NEON(dst []float32, src []uint8, dim int, off float32)

//go:noescape
func unpack8NEON(dst []float32, src []uint8)

//go:noescape
func unpack16NEON(dst []float32, src []uint16)

//go:noescape
func affineNEON(x []float32, scale, zero float32)

//go:noescape
func scores4NEON(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)

//go:noescape
func scores8NEON(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)

//go:noescape
func scoresDOT(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)

//go:noescape
func scoresFloatNEON(s, k, q []float32, scale float32, n, dim int)

//go:noescape
func softmaxNEON(s, scale, zero, m, l, c []float32)

//go:noescape
func addValuesNEON(o, p, v []float32, n, dim int)

//go:noescape
func weighNEON(p []uint8, s, unit []float32, n int)

//go:noescape
func quads4NEON(v []int8, src []uint8, dim int, off int8)

//go:noescape
func quads8NEON(v []int8, src []uint8, dim int)

//go:noescape
func addInts4NEON(o []int32, p []uint8, v []int8, n, dim int)

//go:noescape
func addInts8NEON(o []int32, p []uint8, v []int8, n, dim int)

//go:noescape
func addIntsDOT(o []int32, p []uint8, v []int8, n, dim int)

//go:noescape
func scaleIntsNEON(o []float32, sums []int32, unit float32)

//go:noescape
func mergeNEON(o, part []float32, a, b, c float32)

//go:noescape
func divideNEON(out, o []float32, l float32)
