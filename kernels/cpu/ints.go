package cpu

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// intKernels are the inner loops of linear layers with integer rows: exact
// products of int8 tokens with int4 or int8 weights, and their scaling.
type intKernels struct {
	w4, w8 dotKernel

	// scaleSums sets out[t, r] to float32(sum[t, r] - offset·xSum[t])·(wScale[r]·xScale[t]),
	// two roundings, for every wScale and xScale; addSums adds that to it, one more.
	scaleSums, addSums scaleFunc
}

type scaleFunc func(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)

// tileFunc sets sum[t·stride + r] to Σ (w[r]+offset)·x[t] over k inputs, for the
// first rows rows of w and as many tokens of x as the tile is wide. Rows and tokens are
// depth inputs apart. k and depth are positive multiples of quant.RowAlign, and equal
// unless the kernel has a span; rows is positive.
//
// A tile of several rows asks for one line of weights per line that it reads: the first
// ahead bytes from w's start, each step bytes behind the one before. Others know where to.
//
// x is at least -127. |Σ| <= 255·128·k < 2³¹ for k <= 65,000, so 32 bits hold it; beyond that they wrap
// and offset·Σx wraps them back, as long as |Σ w·x| fits.
type tileFunc func(sum []int32, w []uint8, x []int8, k, rows, stride, ahead, step, depth int)

// dotKernel multiplies weights of one type with tokens.
type dotKernel struct {
	// offset is what a tile adds to each weight, since it wants them unsigned.
	offset int32

	// tiles[n-1] multiplies n tokens.
	tiles []dotTile

	// span, unless it is 0, is the most inputs of all tokens of a tile together: what
	// the first-level cache keeps for one weight row after another.
	span int
}

// dotTile multiplies a multiple of rows weight rows, so many at a time. One row is
// what memory streams best; several save loads and keep their tokens' inputs longer.
type dotTile struct {
	rows int
	dots tileFunc
}

const (
	// maxTile is the largest number of tokens of a tile.
	maxTile = 6
	// prefetchBytes is how far ahead of its last row's reads a tile of several rows asks
	// for weights, when it passes over them once.
	prefetchBytes = 8192
	cacheLine     = 64
)

// of returns the kernel of weights of a type.
func (k *intKernels) of(typ kernels.WeightType) *dotKernel {
	if typ == kernels.Int8 {
		return &k.w8
	}
	return &k.w4
}

// dots multiplies rows rows with n tokens, and asks for weights ahead as tileFunc does.
// part is for as many sums again.
func (k *dotKernel) dots(sum, part []int32, w []uint8, x []int8, depth, rows, n, ahead, step int) {
	tile := &k.tiles[n-1]
	if n > 1 && k.span > 0 && n*depth > k.span { // one token streams weights from memory
		k.spans(sum, part, w, x, depth, rows, n)
		return
	}
	whole := rows / tile.rows * tile.rows
	if whole > 0 {
		tile.dots(sum, w, x, depth, whole, rows, ahead, step, depth)
	}
	if whole < rows {
		w = w[len(w)/rows*whole:]
		for t := range n {
			k.tiles[0].dots(sum[t*rows+whole:], w, x[t*depth:], depth, rows-whole, rows, 0, 0, depth)
		}
	}
}

// spans is dots for tiles of one row, a span of inputs after another.
func (k *dotKernel) spans(sum, part []int32, w []uint8, x []int8, depth, rows, n int) {
	most := k.span / n &^ (quant.RowAlign - 1)
	turns := (depth + most - 1) / most
	length := quant.Align((depth + turns - 1) / turns)
	for at := 0; at < depth; at += length {
		to := part
		if at == 0 {
			to = sum
		}
		k.tiles[n-1].dots(to, w[at*len(w)/(rows*depth):], x[at:], min(length, depth-at), rows, rows, 0, 0, depth)
		if at > 0 {
			for i, s := range part[:n*rows] {
				sum[i] += s
			}
		}
	}
}

// passes returns how many turns of tiles tokens take.
func (k *dotKernel) passes(tokens int) int { return (tokens + len(k.tiles) - 1) / len(k.tiles) }

// intGeneric defines the others.
var intGeneric = intKernels{
	w4:        dotKernel{tiles: []dotTile{{1, dotsW4Generic}}},
	w8:        dotKernel{tiles: []dotTile{{1, dotsW8Generic}}},
	scaleSums: scaleSumsGeneric,
	addSums:   addSumsGeneric,
}

func dotsW4Generic(sum []int32, w []uint8, x []int8, k, rows, _, _, _, _ int) {
	const h = quant.Int4Pack / 2
	for r := range rows {
		var s int32
		for i := 0; i < k; i += quant.Int4Pack {
			for j, b := range w[(r*k+i)/2:][:h] {
				s += (int32(b&15)-8)*int32(x[i+j]) + (int32(b>>4)-8)*int32(x[i+j+h])
			}
		}
		sum[r] = s
	}
}

func dotsW8Generic(sum []int32, w []uint8, x []int8, k, rows, _, _, _, _ int) {
	for r := range rows {
		var s int32
		for i, b := range w[r*k:][:k] {
			s += int32(int8(b)) * int32(x[i])
		}
		sum[r] = s
	}
}

func scaleSumsGeneric(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32) {
	for t, xs := range xScale {
		out, sum, bias := out[t*outStride:], sum[t*sumStride:], offset*xSum[t]
		for r, ws := range wScale {
			out[r] = float32(float32(sum[r]-bias) * float32(ws*xs))
		}
	}
}

func addSumsGeneric(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32) {
	for t, xs := range xScale {
		out, sum, bias := out[t*outStride:], sum[t*sumStride:], offset*xSum[t]
		for r, ws := range wScale {
			out[r] += float32(float32(sum[r]-bias) * float32(ws*xs))
		}
	}
}

// scaleVectors is vectors for as many rows as it takes, a multiple of n, and rest
// for the others.
func scaleVectors(n int, vectors, rest scaleFunc) scaleFunc {
	return func(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32) {
		whole := len(wScale) / n * n
		vectors(out, outStride, sum, sumStride, wScale[:whole], xScale, xSum, offset)
		if whole < len(wScale) {
			rest(out[whole:], outStride, sum[whole:], sumStride, wScale[whole:], xScale, xSum, offset)
		}
	}
}
