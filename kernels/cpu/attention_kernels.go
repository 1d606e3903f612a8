package cpu

import "github.com/llmqat/llmqat/kernels"

// attentionKernels are the inner loops of attention over the KV cache. dim is the
// length of a vector, HeadDim padded with zeros to a multiple of dimAlign; n is a
// number of keys or values, a multiple of 16 where scores and weights are concerned.
type attentionKernels struct {
	storeKernels
	unpackKernels
	scoreKernels
	valueKernels

	// softmax turns each row of s [rows, splitTokens], its first n scores, into
	// weights, rows = len(m): m = max, e = fp.Exp(s-m), s = e·scale; l = Σe and
	// c = Σe·zero (by FMA), each in 8 lanes added by fp.Sum8. n = len(scale).
	softmax func(s, scale, zero, m, l, c []float32)

	// prefetch asks for b's lines in the second-level cache.
	prefetch func(b []byte)

	// rescale adds a split's maxima m2 and sums l2 to m and l: M = max(m, m2), a =
	// fp.Exp(m-M), b = fp.Exp(m2-M), l = FMA(l, a, l2·b), m = M. The length is a
	// multiple of 8. Here and in softmax a maximum of zero may have either sign.
	rescale func(m, l, m2, l2, a, b []float32)

	// merge sets o [dim] to FMA(o, a, (part+c)·b).
	merge func(o, part []float32, a, b, c float32)

	// divide sets out to o/l + 0, which is no negative zero. The length is a
	// multiple of 8.
	divide func(out, o []float32, l float32)
}

// unpackKernels turn stored vectors into floats. dim is a multiple of dimAlign.
type unpackKernels struct {
	// unpack4 sets dst [n, dim] to packed vectors, less off.
	unpack4 func(dst []float32, src []uint8, dim int, off float32)

	// unpack8 sets dst to src, int8s. The length is a multiple of 8.
	unpack8 func(dst []float32, src []uint8)

	// unpack16 sets dst to src, float16s. The length is a multiple of 8.
	unpack16 func(dst []float32, src []uint16)

	// affine sets x to float32(x·scale) + zero. The length is a multiple of 8.
	affine func(x []float32, scale, zero float32)
}

// scoreKernels set s [rows, splitTokens] to scores of queries q [rows, dim] and
// keys k [n, dim].
type scoreKernels struct {
	// scores4 and scores8 take keys as they are stored, packed nibbles or int8s; n =
	// len(kscale), rows = len(a), dim <= maxIntDim. With a query's bias, sum and scale,
	// the score is FMA(kzero, sum, kscale·(Σq·k + bias)) · scale, with nibbles 0..15.
	// They may use scratch [n, dim].
	scores4, scores8 func(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int, scratch []uint8)

	// scoresFloat is fp.Dot(q, k)·scale; dim <= fp.Block.
	scoresFloat func(s, k, q []float32, scale float32, n, dim int)
}

// valueKernels add values by their weights. Integer weights are 0..weightMax, two
// bytes of seven bits in planes: p is [rows, 2, splitTokens], the upper plane first.
type valueKernels struct {
	// addValues sets o [rows, dim] to o + p·v by FMA, in order of the n values: p
	// is [rows, splitTokens], v [n, dim].
	addValues func(o, p, v []float32, n, dim int)

	// weigh turns the first n weights of each row of s [rows, splitTokens] into
	// integers; rows = len(unit). With top their maximum, p = round(s·(weightMax/top))
	// and unit = float32(top·(1/weightMax)), or both 0 where top < weightTiny.
	weigh func(p []uint8, s, unit []float32, n int)

	// quads4 and quads8 set v [n/4, dim, 4] to the integers of n values as they are
	// stored, quads4's less off: four values stand side by side. n is a multiple of 4.
	quads4 func(v []int8, src []uint8, dim int, off int8)
	quads8 func(v []int8, src []uint8, dim int)

	// addInts4 and addInts8 set o [rows, dim] to o + p·v, p of the first n columns, v
	// of quads; n is at most a page's. |v| <= 15 in addInts4; v > -128. The sums of a
	// split are below 2³⁰: weightMax·127·splitTokens.
	addInts4, addInts8 func(o []int32, p []uint8, v []int8, n, dim int)

	// scaleInts sets o [dim] to float32(sums)·unit.
	scaleInts func(o []float32, sums []int32, unit float32)
}

// intQuery is what an integer score needs of a query beside its values, as below.
type intQuery = [3]float32

const (
	queryBias  = iota // an integer, added to the product
	querySum          // Σq, which a key's zero point is multiplied by
	queryScale        // the query's scale · 1/√HeadDim
)

const (
	// splitTokens is the number of positions whose softmax is one piece: pieces
	// start at multiples of it, and are merged in order.
	splitTokens = 256

	dimAlign  = 32
	maxIntDim = kernels.MaxHeadDim // 15·127·256/16 < 2¹⁵: scores4 may keep 16 sums in int16

	weightMax  = 1<<14 - 1
	weightTiny = 0x1p-100
)

var attentionGeneric = attentionKernels{
	storeKernels:  storeGeneric,
	unpackKernels: unpackKernels{unpack4Generic, unpack8Generic, unpack16Generic, affineGeneric},
	scoreKernels:  scoreKernels{scores4Generic, scores8Generic, scoresFloatGeneric},
	valueKernels: valueKernels{addValuesGeneric, weighGeneric, quads4Generic, quads8Generic,
		addIntsGeneric, addIntsGeneric, scaleIntsGeneric},
	softmax:  softmaxGeneric,
	prefetch: func([]byte) {},
	rescale:  rescaleGeneric,
	merge:    mergeGeneric,
	divide:   divideGeneric,
}
