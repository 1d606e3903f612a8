package convert

import (
	"encoding/binary"
	"math"
)

// filler returns what fills whole rows of a stored type with random weights, and
// for integers the scale that gives them the standard deviation spread.
func filler(dtype string, spread float64) (fill func(b []byte, r *noise), scale float64) {
	switch dtype {
	case "U8":
		return fillInt4, spread / int4Spread
	case "I8":
		return fillInt8, spread / int8Spread
	case "F16":
		return fillFloats(0x83ff_83ff_83ff_83ff, 0x0001_0001_0001_0001<<10, 15, spread), 0
	case "BF16":
		return fillFloats(0x807f_807f_807f_807f, 0x0001_0001_0001_0001<<7, 127, spread), 0
	}
	return fillFloats(0x807f_ffff_807f_ffff, 0x0000_0001_0000_0001<<23, 127, spread), 0
}

// Standard deviations of the integers: even over -7..7 with 0 twice, and over
// -127..127 with 0 twice.
var (
	int4Spread = math.Sqrt(2 * 140.0 / 16)
	int8Spread = math.Sqrt(2 * 690880.0 / 256)
)

// fillInt4 draws nibbles; 0, which is q = -8, becomes 8, which is q = 0.
func fillInt4(b []byte, r *noise) {
	const ones = 0x1111111111111111
	fillWords(b, func() uint64 {
		x := r.next()
		set := (x | x>>1 | x>>2 | x>>3) & ones
		return x | (set^ones)<<3
	})
}

// fillInt8 draws bytes; -128 becomes 0.
func fillInt8(b []byte, r *noise) {
	const low, high = 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	fillWords(b, func() uint64 {
		x := r.next()
		y := x ^ high                          // 0 where the byte is -128
		return x &^ ^((y&low + low) | y | low) // the high bit of exactly those bytes
	})
}

// fillFloats draws signs and mantissas under one exponent: magnitudes even over
// [2^k, 2^(k+1)), whose root mean square is √(7/3)·2^k.
func fillFloats(keep, one uint64, bias int, spread float64) func(b []byte, r *noise) {
	k := int(math.Round(math.Log2(spread / math.Sqrt(7.0/3))))
	exponent := uint64(max(k+bias, 1)) * one
	return func(b []byte, r *noise) {
		fillWords(b, func() uint64 { return r.next()&keep | exponent })
	}
}

// fillWords sets b, a multiple of 8 bytes, to little-endian words.
func fillWords(b []byte, word func() uint64) {
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, word())
	}
}
