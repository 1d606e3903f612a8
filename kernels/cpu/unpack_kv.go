package cpu

import "github.com/llmqat/llmqat/kernels/quant"

// nibbleAt is element i of a packed vector of dim.
func nibbleAt(v []uint8, i, dim int) uint8 {
	if half := dim / 2; i >= half {
		return v[i-half] >> 4
	}
	return v[i] & 15
}

func unpack4Generic(dst []float32, src []uint8, dim int, off float32) {
	for i := range dst {
		dst[i] = float32(nibbleAt(src[i/dim*dim/2:], i%dim, dim)) - off
	}
}

func unpack8Generic(dst []float32, src []uint8) {
	for i, b := range src {
		dst[i] = float32(int8(b))
	}
}

func unpack16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = quant.Float16To32(h)
	}
}

func affineGeneric(x []float32, scale, zero float32) {
	for i, v := range x {
		x[i] = float32(v*scale) + zero
	}
}
