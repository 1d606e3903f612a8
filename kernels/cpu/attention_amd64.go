//go:build !purego

package cpu

var attentionAVX2 = attentionKernels{
	storeKernels:  storeKernels{store4AVX2, store16AVX2},
	unpackKernels: unpackKernels{unpack4AVX2, unpack8AVX2, unpack16AVX2, affineAVX2},
	scoreKernels:  scoreKernels{scores4By(nibblesAVX2, scores4AVX2), scores8By(scores8AVX2), scoresFloatAVX2},
	valueKernels: valueKernels{addValuesAVX2, weighGeneric, quads4Generic, quads8Generic,
		addIntsGeneric, addIntsGeneric, scaleIntsGeneric},
	softmax: softmaxAVX2,
	merge:   mergeAVX2,
	divide:  divideAVX2,
}
