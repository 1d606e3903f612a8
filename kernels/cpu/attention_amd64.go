//go:build !purego

package cpu

var attentionAVX2 = attentionKernels{
	storeKernels:  storeKernels{store4AVX2, store16AVX2},
	unpackKernels: unpackKernels{unpack4AVX2, unpack8AVX2, unpack16AVX2, affineAVX2},
	scoreKernels: scoreKernels{scoresBy(4, turnKeys4AVX2, scores4AVX2), scoresBy(8, turnKeys8AVX2, scores8AVX2),
		scoresFloatAVX2},
	valueKernels: valueKernels{addValuesAVX2, weighAVX2, quads4AVX2, quads8AVX2,
		addIntsAVX2, addIntsAVX2, scaleIntsAVX2},
	softmax:  softmaxAVX2,
	prefetch: prefetchAMD64,
	rescale:  rescaleAVX2,
	merge:    mergeAVX2,
	divide:   divideAVX2,
}

var attentionAVXVNNI = attentionKernels{
	storeKernels:  attentionAVX2.storeKernels,
	unpackKernels: attentionAVX2.unpackKernels,
	scoreKernels: scoreKernels{scoresBy(4, turnKeys4AVX2, scores4AVXVNNI), scoresBy(8, turnKeys8AVX2, scores8AVXVNNI),
		scoresFloatAVX2},
	valueKernels: valueKernels{addValuesAVX2, weighAVX2, quads4AVX2, quads8AVX2,
		addIntsAVXVNNI, addIntsAVXVNNI, scaleIntsAVX2},
	softmax:  softmaxAVX2,
	prefetch: prefetchAMD64,
	rescale:  rescaleAVX2,
	merge:    mergeAVX2,
	divide:   divideAVX2,
}

var attentionVNNI = attentionKernels{
	storeKernels:  attentionAVX2.storeKernels,
	unpackKernels: attentionAVX2.unpackKernels,
	scoreKernels: scoreKernels{scoresBy(4, turnKeys4AVX512, scores4VNNI), scoresBy(8, turnKeys8AVX512, scores8VNNI),
		scoresFloatAVX2},
	valueKernels: valueKernels{addValuesAVX2, weighAVX512, quads4AVX512, quads8AVX512,
		addIntsVNNI, addIntsVNNI, scaleIntsAVX512},
	softmax:  softmaxAVX512,
	prefetch: prefetchAMD64,
	rescale:  rescaleAVX2,
	merge:    mergeAVX2,
	divide:   divideAVX2,
}
