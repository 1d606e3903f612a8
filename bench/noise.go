package bench

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// noiseBytes is how much noise is made; larger memory is filled with it again and
// again, in its own pages all the same.
const noiseBytes = 1 << 20

// floats returns noiseBytes of floats of the given size in bytes, between -0.5 and
// 0.5: subnormal ones are slow on some processors.
func floats(rng *rand.Rand, width int, bfloat bool) []byte {
	b := make([]byte, noiseBytes)
	for i := 0; i < len(b); i += width {
		v := rng.Float32() - 0.5
		switch {
		case width == 4:
			binary.LittleEndian.PutUint32(b[i:], math.Float32bits(v))
		case bfloat:
			binary.LittleEndian.PutUint16(b[i:], uint16(math.Float32bits(v)>>16))
		default:
			binary.LittleEndian.PutUint16(b[i:], quant.Float16(v))
		}
	}
	return b
}

// ints returns noiseBytes of int8 from -127 to 127, which are any pairs of int4 too.
func ints(rng *rand.Rand) []byte {
	b := make([]byte, noiseBytes)
	for i := range b {
		b[i] = byte(int8(rng.IntN(255) - 127))
	}
	return b
}

// fill sets the first n bytes of dst to noise, repeated.
func fill(m kernels.Memory, dst kernels.Mem, n int, noise []byte) {
	for at := 0; at < n; at += len(noise) {
		m.Upload(dst, at, noise[:min(len(noise), n-at)])
	}
}

// fillKV fills a cache as if a long context had been read: decode at depth needs no
// prefill of that depth, and pages never written would all be one page of zeros.
func fillKV(m kernels.Memory, c kernels.KVCache, rng *rand.Rand) {
	noise := ints(rng)
	if !c.Quantized() {
		noise = floats(rng, c.Bits/8, false)
	}
	fill(m, c.K.Mem, c.K.N, noise)
	fill(m, c.V.Mem, c.V.N, noise)
	scales := slices.Repeat([]uint16{quant.Float16(0.01)}, c.KScale.N)
	kernels.Upload(m, c.KScale, scales)
	kernels.Upload(m, c.VScale, scales)
	if c.HasZero() {
		zeros := slices.Repeat([]uint16{quant.Float16(-0.08)}, c.KZero.N)
		kernels.Upload(m, c.KZero, zeros)
		kernels.Upload(m, c.VZero, zeros)
	}
}
