package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// A pattern makes eight bytes of 64 random bits.
type pattern func(u uint64) uint64

const each = 0x0101010101010101 // times b: eight bytes b

func sameByte(b uint8) pattern { return func(uint64) uint64 { return each * uint64(b) } }

var (
	// anyBytes are nibbles, weights, and keys as they are stored.
	anyBytes = []pattern{
		func(u uint64) uint64 { return u },
		func(u uint64) uint64 { return u & (each * 0x11) * 15 }, // nibbles 0 and 15
		func(u uint64) uint64 { return u&each*255 ^ each*128 },  // -128 and 127
		func(u uint64) uint64 { return each*127 + u&each*2 },    // ±127
		func(u uint64) uint64 { return each * (u >> 56) },       // eight times the same
		sameByte(0), sameByte(0xff), sameByte(0x88), sameByte(128), sameByte(127), sameByte(129),
	}
	// activations are above -128.
	activations = []pattern{
		func(u uint64) uint64 { // -128 becomes -127
			low := u&(each*127) + each*127 // bit 7 is set unless all below are 0
			return u | ^low&u>>7&each
		},
		func(u uint64) uint64 { return each*127 + u&each*2 }, // ±127
		sameByte(0), sameByte(127), sameByte(129), sameByte(1),
	}
	// planes are seven bits of a weight.
	planes = []pattern{
		func(u uint64) uint64 { return u & (each * 127) },
		func(u uint64) uint64 { return u & each * 127 }, // 0 and 127
		sameByte(127), sameByte(0),
	}
	// nibbleValues are -8..7 or 0..15, and at most ±15.
	nibbleValues = []pattern{
		func(u uint64) uint64 { return u & (each * 15) },
		func(u uint64) uint64 { return (u&(each*15) | each*128) - each*8 ^ each*128 },
		func(u uint64) uint64 { return u&each*0xfe ^ each*15 }, // ±15
		sameByte(15), sameByte(0xf8), sameByte(0),
	}
)

// packed returns n bytes, or int8s, of one of the patterns.
func packed[T int8 | uint8](b *loopBuffers, n int, of []pattern) pair[T] {
	f := pick(b.r, of...)
	var u uint64
	return filled(b, n, func(i int) T {
		if i%8 == 0 {
			u = f(b.bits.Uint64())
		}
		u = u>>8 | u<<56
		return T(u >> 56)
	})
}

// A kind makes a float of 64 random bits.
type kind func(u uint64) float32

var edgeFloats = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 1.5, 2.5, -7.5, 126.5, 127.5, 1 << 23, 1<<23 - 0.5,
	math.MaxFloat32, -math.MaxFloat32, 0x1p-126, -0x1p-126, 0x1p-149, -0x1p-149, 0x1p-127,
	quant.MaxFloat16, -quant.MaxFloat16, 65519, 65520, 0x1p-14, 0x1p-24, 0x1p-25, -0x1p-25, 0x1.8p-24,
	88, 88.5, -87, -87.00001, -88, -104, weightTiny, 0x1p-101,
}

func exponents(from, span uint64) kind {
	return func(u uint64) float32 {
		return math.Float32frombits(uint32(u)&0x807fffff | uint32(from+u>>32%span)<<23)
	}
}

func edge(u uint64) float32 { return edgeFloats[u>>32%uint64(len(edgeFloats))] }

var (
	finite = []kind{
		exponents(127-8, 12), exponents(127-8, 12), exponents(127-3, 6), exponents(127-3, 6),
		exponents(127-40, 80), exponents(1, 254),
		func(u uint64) float32 { // denormals
			return math.Float32frombits(uint32(u)&(1<<31) | uint32(u)&0x7fffff>>(u>>32%24))
		},
		func(u uint64) float32 { return math.Float32frombits(uint32(u) & (1 << 31)) }, // both zeros
		func(u uint64) float32 { return float32(int32(u)>>23) + 0.5 },                 // ties
		func(u uint64) float32 { return float32(int32(u) >> 24) },                     // exp's borders are among their differences
		func(u uint64) float32 { return float32(int32(u) >> 29) },                     // the same ones again and again
		edge,
	}
	anyFloat = append(finite[:len(finite):len(finite)],
		func(u uint64) float32 { return math.Float32frombits(uint32(u)) },
		func(u uint64) float32 { // infinities, and NaNs now and then
			return math.Float32frombits(uint32(u)&(1<<31) | 0x7f800000 | uint32(u>>32&u>>37&u>>42&1))
		})
)

// kindOf returns one of the kinds, by chance with edge values among its own.
func (b *loopBuffers) kindOf(kinds []kind) kind {
	f := pick(b.r, kinds...)
	if b.r.IntN(4) != 0 {
		return f
	}
	return func(u uint64) float32 {
		if u>>60 == 0 {
			return edge(u)
		}
		return f(u)
	}
}

// float returns one number.
func (b *loopBuffers) float(kinds []kind) float32 { return b.kindOf(kinds)(b.bits.Uint64()) }

// floats returns n numbers of one kind.
func (b *loopBuffers) floats(n int, kinds []kind) pair[float32] {
	f := b.kindOf(kinds)
	return filled(b, n, func(int) float32 { return f(b.bits.Uint64()) })
}

// exps returns n numbers that are not negative: any, or with a border of weigh as
// the largest, and ties among them.
func (b *loopBuffers) exps(n int) pair[float32] {
	f, top, first := b.kindOf(finite), float32(math.Inf(1)), -1
	switch b.r.IntN(4) {
	case 0:
		first, top = b.r.IntN(n), pick(b.r, float32(0), 0x1p-130, 0x1.fffffep-101, weightTiny, 1, quant.MaxFloat16)
		size := f
		f = func(u uint64) float32 { return size(u) * top }
	case 1: // weigh multiplies by 1: halves of integers are ties
		first, top = b.r.IntN(n), weightMax
		f = func(u uint64) float32 { return float32(u>>32%(2*weightMax)) / 2 }
	}
	return filled(b, n, func(i int) float32 {
		if v := float32(math.Abs(float64(f(b.bits.Uint64())))); v < top && i != first {
			return v
		}
		return top
	})
}

// ints returns n numbers below 2^bits in magnitude.
func (b *loopBuffers) ints(n, bits int) pair[int32] {
	return filled(b, n, func(int) int32 { return int32(b.bits.Uint64()) >> (31 - bits) })
}

// weights returns n weights as they are stored.
func (b *loopBuffers) weights(typ kernels.WeightType, n int) pair[uint8] {
	half := quant.Float16
	switch typ {
	case kernels.Int4, kernels.Int8:
		return packed[uint8](b, typ.RowBytes(n), anyBytes)
	case kernels.Float32:
		w := b.floats(n, anyFloat)
		return pair[uint8]{asBytes(w[0]), asBytes(w[1])}
	case kernels.BFloat16:
		half = quant.BFloat16
	}
	f, raw := b.kindOf(anyFloat), b.r.IntN(4) == 0
	w := filled(b, n, func(int) uint16 {
		u := b.bits.Uint64()
		if raw {
			return uint16(u)
		}
		return half(f(u))
	})
	return pair[uint8]{asBytes(w[0]), asBytes(w[1])}
}
