package gguf

import (
	"encoding/binary"
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/weights"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Block is the number of elements that share a scale in Q8_0 and Q4_0: rows have whole blocks.
const Block = weights.Block

// PutBlocks sets dst to a row of integers in blocks of a type, Q8 or Q4, each with the row's scale as a float16.
func PutBlocks(dst []byte, q []int8, scale uint16, d format.DType) {
	if len(q)%Block != 0 || d == format.Q4 && len(dst) != len(q)/Block*weights.Q40Stride || d == format.Q8 && len(dst) != len(q)/Block*weights.Q80Stride {
		panic(fmt.Sprintf("gguf: PutBlocks: %d integers as %s in %d bytes", len(q), d, len(dst)))
	}
	for ; len(q) > 0; q = q[Block:] {
		binary.LittleEndian.PutUint16(dst, scale)
		dst = dst[2:]
		if d == format.Q8 {
			for i, q := range q[:Block] {
				dst[i] = byte(q)
			}
			dst = dst[Block:]
			continue
		}
		for j := range Block / 2 {
			dst[j] = byte(q[j]+8) | byte(q[j+Block/2]+8)<<4
		}
		dst = dst[Block/2:]
	}
}

// Scale returns a scale as blocks have it, and by what part of itself that is off.
func Scale(s float32) (half uint16, off float64, err error) {
	half = quant.Float16(s)
	back := quant.Float16To32(half)
	if !quant.IsFinite(back) || back == 0 && s != 0 {
		return 0, 0, fmt.Errorf("scale %v is not within float16, 6e-8 to %d: %w", s, quant.MaxFloat16, format.ErrUnsupported)
	}
	if s != 0 {
		off = max(float64(back)/float64(s)-1, 1-float64(back)/float64(s))
	}
	return half, off, nil
}
