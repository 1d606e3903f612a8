//go:build !purego

package cpu

// scaleSumsNEON is a scaleFunc for multiples of 4 rows.
//
//go:noescape
func scaleSumsNEON(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)

// addSumsNEON is a scaleFunc for multiples of 4 rows.
//
//go:noescape
func addSumsNEON(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)
