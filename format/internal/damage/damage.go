// Package damage breaks files at random, for tests of what reads them.
package damage

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// hostile are the values that lengths, counts and sizes of past exploits had.
var hostile = []uint64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1 << 62, 1<<63 - 1, 1 << 63, math.MaxUint64 - 31, math.MaxUint64}

var texts = []string{"0", "-1", "2147483648", "4294967297", "9223372036854775807", "18446744073709551615", "1e308", "0.5", "null", "[]", "{}", `""`, "true",
	"NaN", `"\ud800"`, "[[[[[[[[[[[[[[[[", `{"":{"":{"":`}

// Bytes returns a damaged copy of b: one to four edits, of bits, bytes, numbers and spans.
func Bytes(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			b = []byte{0}
		}
		b = edit(r, b)
	}
	return b
}

func edit(r *rand.Rand, b []byte) []byte {
	i := r.IntN(len(b))
	if r.IntN(2) == 0 { // headers stand in front
		i = r.IntN(min(len(b), 256))
	}
	span := b[i:min(i+1+r.IntN(40), len(b))]
	switch r.IntN(11) {
	case 0:
		b[i] ^= 1 << r.IntN(8)
	case 1:
		b[i] = byte(r.IntN(256))
	case 2:
		b[i] = `0123456789"{}[],:-.e\`[r.IntN(21)]
	case 3:
		n := binary.LittleEndian.AppendUint64(nil, hostile[r.IntN(len(hostile))])
		copy(b[i:], n[:1<<r.IntN(4)])
	case 4:
		return number(r, b, i)
	case 5:
		return append(b[:i], b[i+len(span):]...)
	case 6:
		return insert(b, i, span)
	case 7:
		return insert(b, r.IntN(len(b)+1), span)
	case 8:
		return b[:i]
	case 9:
		clear(span)
	case 10:
		for j := range span {
			span[j] = byte(r.IntN(256))
		}
	}
	return b
}

// number puts another number, or what is none, in the place of the decimal one at or after i.
func number(r *rand.Rand, b []byte, i int) []byte {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for i < len(b) && !digit(b[i]) {
		i++
	}
	end := i
	for end < len(b) && digit(b[end]) {
		end++
	}
	return insert(append(b[:i:i], b[end:]...), i, []byte(texts[r.IntN(len(texts))]))
}

func insert(b []byte, i int, s []byte) []byte {
	return append(b[:i:i], append(bytes.Clone(s), b[i:]...)...)
}
