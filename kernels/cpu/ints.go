package cpu

import "github.com/llmqat/llmqat/kernels/quant"

// intKernels are the inner loops of linear layers with integer rows: exact
// products of int8 tokens with int4 or int8 weights, and their scaling.
type intKernels struct {
	w4, w8 dotKernel

	// scaleSums sets out[i] to float32(sum[i]-bias)·(wScale[i]·xScale), two
	// roundings; addSums adds that to it, one more.
	scaleSums, addSums scaleFunc
}

type scaleFunc func(out []float32, sum []int32, wScale []float32, xScale float32, bias int32)

// tileFunc sets sum[t·stride + r] to Σ (w[r]+offset)·x[t] over k inputs, for the
// first rows rows of w and as many tokens x [tokens, k] as the tile is wide. k is a
// positive multiple of quant.RowAlign, rows is positive.
//
// x is at least -127. |Σ| <= 255·128·k < 2³¹ for k <= 65,000, so 32 bits hold it; beyond that they wrap
// and bias wraps them back, as long as |Σ w·x| fits.
type tileFunc func(sum []int32, w []uint8, x []int8, k, rows, stride int)

// dotKernel multiplies weights of one type with tokens.
type dotKernel struct {
	// offset is what a tile adds to each weight, since it wants them unsigned.
	offset int32

	// tiles[n-1] multiplies n tokens with one weight row after another: memory
	// serves one stream best.
	tiles []tileFunc

	// block, where there is one, multiplies 4 tokens with 4 weight rows at a time,
	// which saves loads but is slow on rows that come from memory. rows is a
	// multiple of 4.
	block tileFunc
}

const (
	blockTokens = 4
	blockRows   = 4
	// maxTile is the largest number of tokens of a tile.
	maxTile = 8
)

// step returns how many tokens to take next at token t of tokens, and whether with
// k.block. Tiles share the tokens evenly; where there is a block, a tile that
// brings the rows to the second-level cache comes first, and blocks take the rest.
func (k *dotKernel) step(t, tokens int) (n int, block bool) {
	left := tokens - t
	switch {
	case k.block != nil && t > 0 && left%blockTokens == 0:
		return blockTokens, true
	case k.block != nil && left > len(k.tiles):
		return blockTokens + left%blockTokens, false
	}
	passes := (left + len(k.tiles) - 1) / len(k.tiles)
	return (left + passes - 1) / passes, false
}

// dots runs the tile of n tokens, or the block, over rows rows.
func (k *dotKernel) dots(sum []int32, w []uint8, x []int8, depth, rows, stride, n int, block bool) {
	if !block {
		k.tiles[n-1](sum, w, x, depth, rows, stride)
		return
	}
	whole := rows / blockRows * blockRows
	if whole > 0 {
		k.block(sum, w, x, depth, whole, stride)
	}
	if whole < rows {
		k.tiles[n-1](sum[whole:], w[len(w)/rows*whole:], x, depth, rows-whole, stride)
	}
}

// intGeneric defines the others.
var intGeneric = intKernels{
	w4:        dotKernel{tiles: []tileFunc{dotsW4Generic}},
	w8:        dotKernel{tiles: []tileFunc{dotsW8Generic}},
	scaleSums: scaleSumsGeneric,
	addSums:   addSumsGeneric,
}

func dotsW4Generic(sum []int32, w []uint8, x []int8, k, rows, _ int) {
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

func dotsW8Generic(sum []int32, w []uint8, x []int8, k, rows, _ int) {
	for r := range rows {
		var s int32
		for i, b := range w[r*k:][:k] {
			s += int32(int8(b)) * int32(x[i])
		}
		sum[r] = s
	}
}

func scaleSumsGeneric(out []float32, sum []int32, wScale []float32, xScale float32, bias int32) {
	for i := range out {
		out[i] = float32(float32(sum[i]-bias) * float32(wScale[i]*xScale))
	}
}

func addSumsGeneric(out []float32, sum []int32, wScale []float32, xScale float32, bias int32) {
	for i := range out {
		out[i] += float32(float32(sum[i]-bias) * float32(wScale[i]*xScale))
	}
}
