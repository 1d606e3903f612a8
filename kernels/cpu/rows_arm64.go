//go:build !purego

package cpu

import "github.com/llmqat/llmqat/kernels/fp"

var rowNEON = rowKernels{
	absMax:    absMaxNEON,
	minMax:    minMaxNEON,
	quantize:  quantizeNEON,
	normalize: normalizeNEON,
	swiglu:    swigluNEON,
	rotate:    rotateNEON,
}

// expConstants are the constants of fp.Exp, as exp_arm64.h loads them.
//
//lint:ignore U1000 assembly reads it
var expConstants = [...]float32{
	fp.ExpLo, fp.ExpHi, fp.Log2E, -fp.Ln2Hi, -fp.Ln2Lo,
	fp.ExpC5, fp.ExpC4, fp.ExpC3, fp.ExpC2, fp.ExpC1, fp.ExpC0, 1,
}

// The functions are the entries of rowKernels.

//go:noescape
func absMaxNEON(x []float32) float32

//go:noescape
func minMaxNEON(x []float32) (lo, hi float32)

//go:noescape
func quantizeNEON(q []int8, x []float32, scale, zero, qmax float32) int32

//go:noescape
func normalizeNEON(y, x, w []float32, r float32)

//go:noescape
func swigluNEON(y, gate, up []float32)

//go:noescape
func rotateNEON(y, x, cos, sin []float32)
