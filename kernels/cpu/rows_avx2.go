//go:build amd64 && !purego

package cpu

var rowAVX2 = rowKernels{
	absMax:    absMaxAVX2,
	minMax:    minMaxAVX2,
	quantize:  quantizeAVX2,
	normalize: normalizeAVX2,
	swiglu:    swigluAVX2,
	rotate:    rotateAVX2,
}

var attentionAVX2 = attentionKernels{
	storeKernels:  storeKernels{store4AVX2, store16AVX2},
	unpackKernels: unpackKernels{nibblesAVX2, unpack4AVX2, unpack8AVX2, unpack16AVX2, affineAVX2},
	scoreKernels:  scoreKernels{scores4AVX2, scores8AVX2, scoresFloatAVX2},
	softmax:       softmaxAVX2,
	addValues:     addValuesAVX2,
	merge:         mergeAVX2,
	divide:        divideAVX2,
}
