package quant

import (
	"fmt"
	"math"
)

// KVScheme says what shares a scale in the KV cache, and when K is quantized.
type KVScheme string

const (
	// KVToken is LLM-QAT's own: one scale a token for all of K and one for all of
	// V, symmetric; K is quantized before RoPE and rotated when it is read.
	KVToken KVScheme = "token"
	// KVHead has one scale per token and KV head, symmetric, K after RoPE.
	KVHead KVScheme = "head"
	// KVHeadZP is KVHead with a zero point: x = scale·q + zero.
	KVHeadZP KVScheme = "head-zp"
)

// ParseKVScheme reads the name of a scheme.
func ParseKVScheme(s string) (KVScheme, error) {
	switch k := KVScheme(s); k {
	case KVToken, KVHead, KVHeadZP:
		return k, nil
	}
	return "", fmt.Errorf("KV scheme %q: want head-zp, head or token", s)
}

// KV is the format of a KV cache. Bits is 4 or 8 for integers, 16 for float16
// and 32 for float32 entries; for the last two the scheme is ignored: no scale,
// K after RoPE.
type KV struct {
	Bits   int
	Scheme KVScheme
}

// Quantized reports whether entries are integers with scales.
func (f KV) Quantized() bool { return f.Bits <= 8 }

// HasZero reports whether each scale has a zero point beside it.
func (f KV) HasZero() bool { return f.Quantized() && f.Scheme == KVHeadZP }

// RotateOnRead reports whether K is stored before RoPE.
func (f KV) RotateOnRead() bool { return f.Quantized() && f.Scheme == KVToken }

// Groups is the number of scales that K, and V, of one token have.
func (f KV) Groups(kvHeads int) int {
	switch {
	case !f.Quantized():
		return 0
	case f.Scheme == KVToken:
		return 1
	}
	return kvHeads
}

// VectorBytes is the number of bytes of one head's K or V of one token.
func (f KV) VectorBytes(headDim int) int { return headDim * f.Bits / 8 }

// TokenBytes is what one token costs in one layer, scales included.
func (f KV) TokenBytes(kvHeads, headDim int) int {
	scale := 2 // float16
	if f.HasZero() {
		scale = 4
	}
	return 2 * (kvHeads*f.VectorBytes(headDim) + f.Groups(kvHeads)*scale)
}

// KVScale returns the float16 scale and zero of one group: x ≈ scale·q + zero.
// zero is 0 but for KVHeadZP, where it is the minimum for 4 bits (q in 0..15)
// and the middle of the range for 8 (q in -127..127). The groups' other formats
// have q in -7..7 and -127..127. ok is false where |x| exceeds MaxFloat16 or is
// no number. lo and hi are the group's smallest and largest value.
func (f KV) KVScale(lo, hi float32) (scale, zero uint16, ok bool) {
	if !(lo >= -MaxFloat16 && hi <= MaxFloat16) {
		return 0, 0, false
	}
	switch {
	case f.Scheme != KVHeadZP:
		return Float16(max(-lo, hi, 0) / float32(f.qmax())), 0, true
	case f.Bits == 4:
		zero = Float16(lo)
		return Float16(max(hi-Float16To32(zero), 0) / 15), zero, true
	}
	zero = Float16(float32(lo/2) + float32(hi/2))
	z := Float16To32(zero)
	return Float16(max(hi-z, z-lo, 0) / Int8Max), zero, true
}

func (f KV) qmax() int {
	if f.Bits == 4 {
		return Int4Max
	}
	return Int8Max
}

// KVRange returns the smallest and largest q of the format.
func (f KV) KVRange() (lo, hi int) {
	if f.Bits == 4 && f.Scheme == KVHeadZP {
		return 0, 15
	}
	return -f.qmax(), f.qmax()
}

// MinMax returns the smallest and largest value of x as KVScale takes them. A
// NaN in x makes both NaN.
func MinMax(x []float32) (lo, hi float32) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v) // the built-ins pass NaN on
	}
	return lo, hi
}

// KVStore quantizes one head's vector x [headDim] by its group's scale and zero
// and packs it to dst [VectorBytes]. q = clamp(round((x-zero)/scale)).
//
// 4 bits: byte j holds element j in its low and element j+headDim/2 in its high
// nibble (the two halves of a RoPE pair), symmetric ones as q+8, KVHeadZP's as q.
// 8 bits: one int8 an element.
func (f KV) KVStore(dst []uint8, x []float32, scale, zero uint16) {
	s, z := Float16To32(scale), Float16To32(zero)
	l, h := f.KVRange()
	lo, hi := float32(l), float32(h)
	if f.Bits == 8 {
		for i, v := range x {
			dst[i] = uint8(int8(round(v-z, s, lo, hi)))
		}
		return
	}
	off := f.NibbleOffset()
	half := len(x) / 2
	for j := range half {
		a := round(x[j]-z, s, lo, hi) + off
		b := round(x[j+half]-z, s, lo, hi) + off
		dst[j] = uint8(a) | uint8(b)<<4
	}
}

// NibbleOffset is what a stored nibble exceeds its q by.
func (f KV) NibbleOffset() float32 {
	if f.Scheme == KVHeadZP {
		return 0
	}
	return 8
}

// KVLoad is KVStore's inverse: x = scale·q + zero, each step rounded to float32.
func (f KV) KVLoad(x []float32, src []uint8, scale, zero uint16) {
	s, z := Float16To32(scale), Float16To32(zero)
	if f.Bits == 8 {
		for i := range x {
			x[i] = float32(s*float32(int8(src[i]))) + z
		}
		return
	}
	off := f.NibbleOffset()
	half := len(x) / 2
	for j := range half {
		x[j] = float32(s*(float32(src[j]&15)-off)) + z
		x[j+half] = float32(s*(float32(src[j]>>4)-off)) + z
	}
}
