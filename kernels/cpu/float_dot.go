package cpu

import (
	"encoding/binary"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// weightAt defines each weight type: input i of a stored row as float32, exactly.
var weightAt = [weightTypes]func(w []byte, i int) float32{
	kernels.Int4: func(w []byte, i int) float32 {
		b := w[i/quant.Int4Pack*(quant.Int4Pack/2)+i%(quant.Int4Pack/2)]
		if i%quant.Int4Pack >= quant.Int4Pack/2 {
			b >>= 4
		}
		return float32(int(b&15) - 8)
	},
	kernels.Int8: func(w []byte, i int) float32 { return float32(int8(w[i])) },
	kernels.Float16: func(w []byte, i int) float32 {
		return quant.Float16To32(binary.LittleEndian.Uint16(w[2*i:]))
	},
	kernels.BFloat16: func(w []byte, i int) float32 {
		return quant.BFloat16To32(binary.LittleEndian.Uint16(w[2*i:]))
	},
	kernels.Float32: func(w []byte, i int) float32 {
		return math.Float32frombits(binary.LittleEndian.Uint32(w[4*i:]))
	},
}

// genericOf returns the generic loops of all weight types.
func genericOf[F any](of func(at func(w []byte, i int) float32) F) (f [weightTypes]F) {
	for t, at := range weightAt {
		f[t] = of(at)
	}
	return f
}

// dotGeneric returns the dot of a weight type: fp.Dot with one weight widened at
// a time.
func dotGeneric(at func(w []byte, i int) float32) func(w []byte, x []float32) float32 {
	return func(w []byte, x []float32) float32 {
		var total [fp.Lanes]float32
		for b := 0; b < len(x); b += fp.Block {
			var acc [fp.Lanes]float32
			for i := b; i < min(b+fp.Block, len(x)); i++ {
				acc[i%fp.Lanes] = fp.FMA(at(w, i), x[i], acc[i%fp.Lanes])
			}
			for l := range total {
				total[l] += acc[l]
			}
		}
		return fp.Sum8(&total)
	}
}

// widenGeneric returns the widen of a weight type.
func widenGeneric(at func(w []byte, i int) float32) func(dst []float32, stride int, src []byte, n int) {
	return func(dst []float32, stride int, src []byte, n int) {
		for i := range n {
			dst[i/fp.Lanes*stride+i%fp.Lanes] = at(src, i)
		}
	}
}
