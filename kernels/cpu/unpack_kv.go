package cpu

import "github.com/llmqat/llmqat/kernels/quant"

func nibblesGeneric(dst, src []uint8, dim int) {
	half := dim / 2
	for i, b := range src {
		j := i/half*dim + i%half
		dst[j], dst[j+half] = b&15, b>>4
	}
}

func unpack4Generic(dst []float32, src []uint8, dim int, off float32) {
	half := dim / 2
	for i, b := range src {
		j := i/half*dim + i%half
		dst[j], dst[j+half] = float32(b&15)-off, float32(b>>4)-off
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
