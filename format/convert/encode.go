package convert

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
)

// encoder turns rows of floats into a tensor's stored rows.
type encoder struct {
	t     qat.Tensor
	q     []int8   // one row
	given *float32 // the next row's scale, where it is not MinMax's
}

func newEncoder(t qat.Tensor) *encoder {
	_, cols := dims(t)
	return &encoder{t: t, q: make([]int8, cols)}
}

// row sets dst, a stored row, to w, and the first 4 bytes of scale, if the tensor
// has scales, to its scale.
func (e *encoder) row(dst, scale []byte, w []float32) error {
	bits := 0
	switch e.t.DType {
	case "U8":
		bits = 4
	case "I8":
		bits = 8
	default:
		return encodeFloats(dst, w, e.t.DType)
	}
	s, err := quant.WeightRow(e.q, w, bits)
	if err != nil {
		return err
	}
	if e.given != nil {
		s = *e.given
		if !(s >= 0 && quant.IsFinite(s)) {
			return fmt.Errorf("scale %v: want a number of 0 or more", s)
		}
		lo, hi := quant.WeightRange(bits)
		quant.WeightRowScaled(e.q, w, s, lo, hi)
	}
	binary.LittleEndian.PutUint32(scale, math.Float32bits(s))
	if bits == 4 {
		quant.PackInt4(dst, e.q)
		return nil
	}
	for i, q := range e.q {
		dst[i] = byte(q)
	}
	clear(dst[len(e.q):])
	return nil
}

// encodeFloats sets dst to w in a float type, and what is left of dst to zero.
func encodeFloats(dst []byte, w []float32, dtype string) error {
	size := 2
	if dtype == "F32" {
		size = 4
	}
	for i, v := range w {
		switch d := dst[i*size:]; {
		case !quant.IsFinite(v):
			return fmt.Errorf("%w: %v at input %d", quant.ErrNotFinite, v, i)
		case dtype == "F32":
			binary.LittleEndian.PutUint32(d, math.Float32bits(v))
		case dtype == "F16":
			h := quant.Float16(v)
			if h&0x7fff == 0x7c00 {
				return fmt.Errorf("%v at input %d exceeds float16, which ends at %d: use --float bf16", v, i, quant.MaxFloat16)
			}
			binary.LittleEndian.PutUint16(d, h)
		default:
			h := quant.BFloat16(v)
			if h&0x7fff == 0x7f80 {
				return fmt.Errorf("%v at input %d exceeds bfloat16: use --float f32", v, i)
			}
			binary.LittleEndian.PutUint16(d, h)
		}
	}
	clear(dst[len(w)*size:])
	return nil
}
