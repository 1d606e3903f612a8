package weights

import (
	"encoding/binary"
	"math"

	"github.com/llmqat/llmqat/kernels/quant"
)

// Elements decodes the elements of a tensor, numbered in row-major order, from a
// file's little-endian bytes.
type Elements interface {
	// Read sets dst to elements [first, first+len(dst)).
	Read(dst []float32, first int)
}

// F32, F16 and BF16 are plain numbers, one after the other.
type (
	F32  []byte
	F16  []byte
	BF16 []byte
)

func (b F32) Read(dst []float32, first int) {
	b = b[4*first:][:4*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

func (b F16) Read(dst []float32, first int) {
	b = b[2*first:][:2*len(dst)]
	for i := range dst {
		dst[i] = quant.Float16To32(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

func (b BF16) Read(dst []float32, first int) {
	b = b[2*first:][:2*len(dst)]
	for i := range dst {
		dst[i] = quant.BFloat16To32(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

// Grouped is int8 numbers and, apart from them, a float32 scale for every Group of them.
type Grouped struct {
	Q      []byte // int8 [n]
	Scales []byte // float32 [n/Group]
	Group  int
}

func (g Grouped) Read(dst []float32, first int) {
	eachGroup(dst, first, g.Group, func(dst []float32, group, at int) {
		scale := math.Float32frombits(binary.LittleEndian.Uint32(g.Scales[4*group:]))
		q := g.Q[group*g.Group+at:]
		for i := range dst {
			dst[i] = scale * float32(int8(q[i]))
		}
	})
}

// Integers is rows of integers of 4 or 8 bits, the first in the lowest bits of a row's first byte, and their scales.
type Integers struct {
	Q        []byte // RowBytes of each row
	RowBytes int
	Cols     int      // integers of a row
	Bits     int      // 4 or 8
	Offset   int      // what is added to each; 0: they are int8
	Scales   Elements // [rows, Groups]
	Groups   int
	Group    int // inputs that share a scale; 0: all
}

func (w Integers) Read(dst []float32, first int) {
	scales := make([]float32, w.Groups)
	eachGroup(dst, first, w.Cols, func(dst []float32, r, at int) {
		row := w.Q[r*w.RowBytes:][:w.RowBytes]
		w.Scales.Read(scales, r*w.Groups)
		for i := range dst {
			j, scale := at+i, scales[0]
			if w.Group > 0 {
				scale = scales[j/w.Group]
			}
			q := int(row[j*w.Bits/8]) >> (j * w.Bits % 8) & (1<<w.Bits - 1)
			if w.Offset == 0 {
				q = int(int8(q))
			}
			dst[i] = float32(q-w.Offset) * scale
		}
	})
}

// eachGroup cuts dst, elements [first, first+len(dst)), at multiples of size elements, and
// calls f with each piece, the group it lies in and the place of its first element there.
func eachGroup(dst []float32, first, size int, f func(dst []float32, group, at int)) {
	for len(dst) > 0 {
		at := first % size
		n := min(size-at, len(dst))
		f(dst[:n], first/size, at)
		dst, first = dst[n:], first+n
	}
}

// Block is the number of elements that share a scale in Q8_0 and Q4_0; a block
// begins with the scale, a float16.
const (
	Block     = 32
	Q80Stride = 2 + Block   // bytes of a Q8_0 block: scale, int8 [32]
	Q40Stride = 2 + Block/2 // bytes of a Q4_0 block: scale, q+8 in nibbles; byte j holds element j low, j+16 high
)

// Q80 and Q40 are ggml's block formats.
type (
	Q80 []byte
	Q40 []byte
)

func (b Q80) Read(dst []float32, first int) {
	eachGroup(dst, first, Block, func(dst []float32, group, at int) {
		block := b[group*Q80Stride:][:Q80Stride]
		scale := blockScale(block)
		for i := range dst {
			dst[i] = scale * float32(int8(block[2+at+i]))
		}
	})
}

func (b Q40) Read(dst []float32, first int) {
	eachGroup(dst, first, Block, func(dst []float32, group, at int) {
		block := b[group*Q40Stride:][:Q40Stride]
		scale := blockScale(block)
		for i := range dst {
			j := at + i
			q := block[2+j%(Block/2)] >> (j / (Block / 2) * 4) & 15
			dst[i] = scale * float32(int(q)-8)
		}
	})
}

func blockScale(block []byte) float32 {
	return quant.Float16To32(binary.LittleEndian.Uint16(block))
}
