package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// floatsAt returns n floats at a guard page: random ones of a wide range of sizes,
// and the edge values now and then.
func floatsAt(t testing.TB, r *rand.Rand, n int) []float32 {
	x := guardedOf[float32](t, n)
	edge := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 65504, -65504, 1e-45, -1e-45, 2e-38, 6e-8, 3e4, 88, -88, -104}
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp(2*r.NormFloat64()))
		if r.IntN(16) == 0 {
			x[i] = edge[r.IntN(len(edge))]
		}
	}
	return x
}

// sameBits fails where got differs from want in any bit.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d of %d is %v (%#x), the definition says %v (%#x)",
				what, i, len(want), got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func same[T kernels.Elem](t *testing.T, what string, got, want []T) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d of %d is %v, the definition says %v", what, i, len(want), got[i], want[i])
		}
	}
}

var rowLengths = []int{0, 8, 16, 24, 64, 72, 1032}

func TestAbsMaxMinMax(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, n := range rowLengths {
			x := floatsAt(t, r, n)
			check := func(what string) {
				t.Helper()
				sameBits(t, what, []float32{k.absMax(x)}, []float32{quant.AbsMax(x)})
				if n == 0 {
					return
				}
				lo, hi := k.minMax(x)
				wantLo, wantHi := minMaxGeneric(x)
				sameBits(t, what, []float32{lo, hi}, []float32{wantLo, wantHi})
			}
			check("finite")
			if n == 0 {
				continue
			}
			for _, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(math.NaN(), -1)} {
				i := r.IntN(n)
				old := x[i]
				x[i] = float32(v)
				check("with an infinity or NaN")
				x[i] = old
			}
		}
	})
}

// The definition agrees with the built-in min and max, which package quant uses.
func TestMinMaxGeneric(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for range 100 {
		x := floatsAt(t, r, 64)
		lo, hi := minMaxGeneric(x)
		wantLo, wantHi := quant.MinMax(x)
		sameBits(t, "lo, hi", []float32{lo, hi}, []float32{wantLo, wantHi})
	}
	nan := float32(math.NaN())
	if lo, hi := minMaxGeneric([]float32{1, nan, 2}); lo == lo && hi == hi {
		t.Errorf("a NaN is lost: %v, %v", lo, hi)
	}
}

func TestQuantizeRow(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(3, 1))
		for _, n := range rowLengths {
			for _, qmax := range []float32{127, 31, 7} {
				for _, scale := range []float32{0.25, 3.3, 1e-3, 1e-44} {
					x := floatsAt(t, r, n)
					for i := range x { // ties
						if r.IntN(4) == 0 {
							x[i] = scale * (float32(r.IntN(20)) + 0.5)
						}
					}
					zero := float32(r.IntN(2)) * 0.125
					got, want := guardedOf[int8](t, n), make([]int8, n)
					sum, wantSum := k.quantize(got, x, scale, zero, qmax), quantizeGeneric(want, x, scale, zero, qmax)
					same(t, "q", got, want)
					same(t, "sum", []int32{sum}, []int32{wantSum})
				}
			}
		}
	})
}

func TestNormalizeSwiGLURotate(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(4, 1))
		for _, n := range rowLengths {
			x, w := floatsAt(t, r, n), floatsAt(t, r, n)
			got, want := guardedOf[float32](t, n), make([]float32, n)
			k.normalize(got, x, w, 0.37)
			normalizeGeneric(want, x, w, 0.37)
			sameBits(t, "normalize", got, want)

			k.swiglu(got, x, w)
			swigluGeneric(want, x, w)
			sameBits(t, "swiglu", got, want)

			cos, sin := floatsAt(t, r, n), floatsAt(t, r, n)
			x = floatsAt(t, r, 2*n)
			got, want = guardedOf[float32](t, 2*n), make([]float32, 2*n)
			k.rotate(got, x, cos, sin)
			rotateGeneric(want, x, cos, sin)
			sameBits(t, "rotate", got, want)
			k.rotate(x, x, cos, sin)
			sameBits(t, "rotate in place", x, want)
		}
	})
}

// SiLU passes through every exponent, both signs.
func TestSwiGLUEveryExponent(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		const n = 1 << 16
		gate, up := make([]float32, n), make([]float32, n)
		got, want := make([]float32, n), make([]float32, n)
		for i := range gate {
			gate[i], up[i] = math.Float32frombits(uint32(i)<<16|uint32(i)), 1
			if !quant.IsFinite(gate[i]) {
				gate[i] = 0
			}
		}
		k.swiglu(got, gate, up)
		swigluGeneric(want, gate, up)
		sameBits(t, "swiglu", got, want)

		gate[5] = float32(math.NaN())
		gate[9] = float32(math.Inf(-1))
		if k.swiglu(got, gate, up); quant.IsFinite(got[5]) || quant.IsFinite(got[9]) {
			t.Errorf("a NaN or infinity is lost: %v, %v", got[5], got[9])
		}
	})
}

func TestStoreKV(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(5, 1))
		for _, scheme := range []quant.KVScheme{quant.KVToken, quant.KVHead, quant.KVHeadZP} {
			f := quant.KV{Bits: 4, Scheme: scheme}
			lo, hi := f.KVRange()
			for _, n := range []int{16, 32, 64, 128} {
				for _, scale := range []uint16{1, 0x1400, 0x3c00, 0x7000} { // subnormal to large
					x := floatsAt(t, r, n)
					zero := uint16(0)
					if f.HasZero() {
						zero = quant.Float16(x[0])
					}
					got, want := guardedOf[uint8](t, n/2), make([]uint8, n/2)
					k.store4(got, x, quant.Float16To32(scale), quant.Float16To32(zero), float32(lo), float32(hi), f.NibbleOffset())
					f.KVStore(want, x, scale, zero)
					same(t, "store4 "+string(scheme), got, want)
				}
			}
		}
		for _, n := range rowLengths {
			x := floatsAt(t, r, n)
			got, want := guardedOf[uint16](t, n), make([]uint16, n)
			k.store16(got, x)
			store16Generic(want, x)
			same(t, "store16", got, want)
		}
	})
}

// FuzzRows holds every instruction set to the definitions on arbitrary floats.
func FuzzRows(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x80, 1, 0, 0, 0}, uint16(0x3c00), uint16(0x8000))
	f.Fuzz(func(t *testing.T, data []byte, scale, zero uint16) {
		x := make([]float32, max(len(data)/4/16*16, 16))
		for i := range x {
			if 4*i+4 <= len(data) {
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			}
		}
		for i := range available {
			k := &available[i]
			sameBits(t, k.name+" absMax", []float32{k.absMax(x)}, []float32{quant.AbsMax(x)})
			lo, hi := k.minMax(x)
			wantLo, wantHi := minMaxGeneric(x)
			sameBits(t, k.name+" minMax", []float32{lo, hi}, []float32{wantLo, wantHi})
			s, z := quant.Float16To32(scale&0x7fff), quant.Float16To32(zero)
			if !quant.IsFinite(k.absMax(x)) || !quant.IsFinite(s) || !quant.IsFinite(z) || s == 0 {
				continue
			}
			got, want := make([]float32, len(x)), make([]float32, len(x))
			k.swiglu(got, x, x)
			swigluGeneric(want, x, x)
			sameBits(t, k.name+" swiglu", got, want)
			for _, f := range []quant.KV{{Bits: 4, Scheme: quant.KVHead}, {Bits: 4, Scheme: quant.KVHeadZP}, {Bits: 8, Scheme: quant.KVHeadZP}} {
				got, want := make([]uint8, f.VectorBytes(len(x))), make([]uint8, f.VectorBytes(len(x)))
				a := appendRows{store: &k.storeKernels, cache: cache{KVCache: kernels.KVCache{KV: f}}, out: outRows{k: &k.rowKernels}}
				a.putInts(got, x, scale&0x7fff, zero)
				f.KVStore(want, x, scale&0x7fff, zero)
				same(t, fmt.Sprintf("%s %+v", k.name, f), got, want)
			}
		}
	})
}
