package cpu

// attentionKernels are the inner loops of attention over the KV cache. dim is the
// length of a vector, HeadDim padded with zeros to a multiple of dimAlign; n is a
// number of keys or values, a multiple of 8 where scores are concerned.
type attentionKernels struct {
	storeKernels
	unpackKernels
	scoreKernels

	// softmax turns each row of s [rows, splitTokens], its first n scores, into
	// weights, rows = len(m): m = max, e = fp.Exp(s-m), s = e·scale; l = Σe and
	// c = Σe·zero (by FMA), each in 8 lanes added by fp.Sum8. n = len(scale).
	softmax func(s, scale, zero, m, l, c []float32)

	// addValues sets o [rows, dim] to o + p·v by FMA, in order of the n values: p
	// is [rows, splitTokens], v [n, dim].
	addValues func(o, p, v []float32, n, dim int)

	// merge sets o [dim] to FMA(o, a, (part+c)·b).
	merge func(o, part []float32, a, b, c float32)

	// divide sets out to o/l + 0, which is no negative zero. The length is a
	// multiple of 8.
	divide func(out, o []float32, l float32)
}

// unpackKernels turn stored vectors into what the other loops read. dim is a
// multiple of dimAlign.
type unpackKernels struct {
	// nibbles sets dst to the nibbles of packed vectors, as bytes, in order of the
	// vector's elements. len(dst) = 2·len(src), a multiple of dim.
	nibbles func(dst, src []uint8, dim int)

	// unpack4 is nibbles, as floats, less off.
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
	// scores4 takes keys of bytes 0..15, scores8 of int8s; n = len(kscale), rows =
	// len(a), dim <= maxIntDim. With a query's bias, sum and scale, the score is
	// FMA(kzero, sum, kscale·(Σq·k + bias)) · scale.
	scores4, scores8 func(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int)

	// scoresFloat is fp.Dot(q, k)·scale; dim <= fp.Block.
	scoresFloat func(s, k, q []float32, scale float32, n, dim int)
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
	maxIntDim = 256 // 15·127·256/16 < 2¹⁵: scores4 may keep 16 sums in int16
)

var attentionGeneric = attentionKernels{
	storeKernels:  storeGeneric,
	unpackKernels: unpackKernels{nibblesGeneric, unpack4Generic, unpack8Generic, unpack16Generic, affineGeneric},
	scoreKernels:  scoreKernels{scores4Generic, scores8Generic, scoresFloatGeneric},
	softmax:       softmaxGeneric,
	addValues:     addValuesGeneric,
	merge:         mergeGeneric,
	divide:        divideGeneric,
}
