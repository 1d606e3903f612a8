//go:build !purego

package cpu

var attentionAVX2 = attentionKernels{
	storeKernels:  storeKernels{store4AVX2, store16AVX2},
	unpackKernels: unpackKernels{nibblesAVX2, unpack4AVX2, unpack8AVX2, unpack16AVX2, affineAVX2},
	scoreKernels:  scoreKernels{scores4AVX2, scores8AVX2, scoresFloatAVX2},
	softmax:       softmaxAVX2,
	addValues:     addValuesAVX2,
	merge:         mergeAVX2,
	divide:        divideAVX2,
}
