//go:build !purego

package cpu

var rowAVX2 = rowKernels{
	absMax:    absMaxAVX2,
	minMax:    minMaxAVX2,
	quantize:  quantizeAVX2,
	normalize: normalizeAVX2,
	swiglu:    swigluAVX2,
	rotate:    rotateAVX2,
}

var rowAVX512 = rowKernels{
	absMax:    absMaxAVX2,
	minMax:    minMaxAVX2,
	quantize:  quantizeAVX2,
	normalize: normalizeAVX2,
	swiglu:    swigluAVX512,
	rotate:    rotateAVX2,
}
