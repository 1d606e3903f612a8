//go:build !purego

package cpu

// The functions are the entries of sampleKernels.

//go:noescape
func blockMaxNEON(tops, x []float32)

//go:noescape
func weighLogitsNEON(w, x []float32, top, scale, least float32) float64
