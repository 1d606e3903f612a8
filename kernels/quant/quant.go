// Package quant defines llmqat's number formats, bit for bit: what an int4
// weight, an int8 activation and a 4-bit KV entry are, and how a float becomes
// one. Files, kernels and the trainer's fake quantization all obey this package;
// it imports nothing of ours.
//
// Rounding is to nearest, ties to even. A scale (step) is a float32 that turns
// integers back into floats: x ≈ q·scale. An all-zero row has scale 0.
package quant

import (
	"errors"
	"fmt"
	"math"
)

const (
	Int4Max = 7   // MinMax int4 weights lie in [-7, 7]; a stored or searched scale may also use -8
	Int4Min = -8  // the smallest int4 weight
	Int8Max = 127 // int8 weights and activations lie in [-127, 127]

	// RowAlign is the unit, in elements, to which every stored matrix row is
	// padded with zeros, so that no inner loop has a tail.
	RowAlign = 64

	// Int4Pack is the packing unit of int4 weights. Byte j of a pack's 32 holds
	// input j in its low and input j+32 in its high nibble, each as q+8.
	Int4Pack = 64
)

// ErrNotFinite means that a tensor to be quantized holds a NaN or an infinity.
var ErrNotFinite = errors.New("quant: not a finite number")

// Align returns n rounded up to a multiple of RowAlign.
func Align(n int) int { return (n + RowAlign - 1) / RowAlign * RowAlign }

// AbsMax returns the largest |x|. Where x holds a NaN or an infinity the result
// is one too. It compares bit patterns, so the order of x does not matter.
func AbsMax(x []float32) float32 {
	var m uint32
	for _, v := range x {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return math.Float32frombits(m)
}

// IsFinite reports whether x is neither a NaN nor an infinity.
func IsFinite(x float32) bool { return math.Float32bits(x)&0x7f800000 != 0x7f800000 }

// round returns clamp(roundHalfEven(x/step), lo, hi), and 0 where step is 0.
// The quotient is a float32 division, rounded once.
func round(x, step, lo, hi float32) float32 {
	if step == 0 {
		return 0
	}
	return min(max(float32(math.RoundToEven(float64(x/step))), lo), hi)
}

// WeightRow quantizes one output channel w to q, MinMax: scale = max|w| / qmax
// with qmax 7 for 4 bits and 127 for 8. len(q) = len(w).
func WeightRow(q []int8, w []float32, bits int) (scale float32, err error) {
	scale, err = WeightScale(w, bits)
	if err != nil {
		return 0, err
	}
	lo, hi := WeightRange(bits)
	WeightRowScaled(q, w, scale, max(lo, -hi), hi)
	return scale, nil
}

// WeightScale returns the MinMax scale of one output channel.
func WeightScale(w []float32, bits int) (float32, error) {
	m := AbsMax(w)
	if !IsFinite(m) {
		for i, v := range w {
			if !IsFinite(v) {
				return 0, fmt.Errorf("%w: %v at input %d", ErrNotFinite, v, i)
			}
		}
	}
	_, hi := WeightRange(bits)
	return m / float32(hi), nil
}

// WeightRange returns the smallest and largest integer of a bits-wide weight.
func WeightRange(bits int) (lo, hi int8) {
	switch bits {
	case 4:
		return Int4Min, Int4Max
	case 8:
		return -Int8Max, Int8Max
	}
	panic(fmt.Sprintf("quant: weights of %d bits", bits))
}

// WeightRowScaled quantizes w by a given scale: q = clamp(round(w/scale), lo, hi).
func WeightRowScaled(q []int8, w []float32, scale float32, lo, hi int8) {
	for i, v := range w {
		q[i] = int8(round(v, scale, float32(lo), float32(hi)))
	}
}

// PackInt4 packs q, each in [-8, 7], into dst: Int4Bytes(len(q)) bytes. Inputs
// past the end of q are packed as 0.
func PackInt4(dst []uint8, q []int8) {
	const h = Int4Pack / 2
	at := func(i int) uint8 {
		if i < len(q) {
			return uint8(q[i] + 8)
		}
		return 8
	}
	for p := range len(dst) / h {
		for j := range h {
			i := p*Int4Pack + j
			dst[p*h+j] = at(i) | at(i+h)<<4
		}
	}
}

// UnpackInt4 is PackInt4's inverse: it sets q to the first len(q) inputs of src.
func UnpackInt4(q []int8, src []uint8) {
	const h = Int4Pack / 2
	for i := range q {
		b := src[i/Int4Pack*h+i%h]
		if i%Int4Pack >= h {
			b >>= 4
		}
		q[i] = int8(b&15) - 8
	}
}

// Int4Bytes is the number of bytes of a packed row of n inputs.
func Int4Bytes(n int) int { return Align(n) / 2 }

// ActivationMax returns the largest integer of a bits-wide activation: 127, 31
// and 7 for 8, 6 and 4 bits. All live in int8 containers.
func ActivationMax(bits int) float32 {
	switch bits {
	case 8, 6, 4:
		return float32(int(1)<<(bits-1) - 1)
	}
	panic(fmt.Sprintf("quant: activations of %d bits", bits))
}

// Activations quantizes one token's activations x to q, symmetric: scale =
// max|x| / qmax, q = clamp(round(x/scale), -qmax, qmax). It also returns Σq,
// which takes the +8 out of a product with packed int4 weights. finite is false,
// and q all zero, where x holds a NaN or an infinity.
func Activations(q []int8, x []float32, bits int) (scale float32, sum int32, finite bool) {
	m := AbsMax(x)
	if !IsFinite(m) {
		clear(q)
		return 0, 0, false
	}
	qmax := ActivationMax(bits)
	scale = m / qmax
	for i, v := range x {
		q[i] = int8(round(v, scale, -qmax, qmax))
		sum += int32(q[i])
	}
	return scale, sum, true
}
