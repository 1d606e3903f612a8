package quant

import "math"

// MaxFloat16 is the largest finite float16.
const MaxFloat16 = 65504

// Float16 returns x rounded to the nearest float16, ties to even; values past
// 65,519 become infinite, NaNs stay NaNs.
func Float16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN: quiet, payload cut, as F16C does
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x47800000: // 2^16 and above
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal. Adding 0.5 lets the FPU round at 2^-24.
		f := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(f)-0x3f000000)
	}
	b += 0xfff + b>>13&1 // round half to even at bit 13; a carry may reach infinity
	return sign | uint16((b-0x38000000)>>13)
}

// Float16To32 returns the value of a float16, exactly.
func Float16To32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	e, m := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch e {
	case 0: // m · 2^-24, exact in float32
		return math.Float32frombits(math.Float32bits(float32(m)*(1.0/(1<<24))) | sign)
	case 0x1f:
		if m != 0 {
			m |= 0x200 // quiet
		}
		return math.Float32frombits(sign | 0x7f800000 | m<<13)
	}
	return math.Float32frombits(sign | (e+112)<<23 | m<<13)
}

// BFloat16 returns x rounded to the nearest bfloat16, ties to even.
func BFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// BFloat16To32 returns the value of a bfloat16, exactly.
func BFloat16To32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
