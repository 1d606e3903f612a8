package quant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var kvFormats = []KV{
	{4, KVToken}, {4, KVHead}, {4, KVHeadZP}, {8, KVToken}, {8, KVHead}, {8, KVHeadZP},
}

// roundTrip stores and loads x as one group.
func roundTrip(t *testing.T, f KV, x []float32) (y []float32, scale, zero float64) {
	t.Helper()
	s, z, ok := f.KVScale(MinMax(x))
	if !ok {
		t.Fatalf("%+v: no scale for %v", f, x)
	}
	b := make([]uint8, f.VectorBytes(len(x)))
	f.KVStore(b, x, s, z)
	y = make([]float32, len(x))
	f.KVLoad(y, b, s, z)
	return y, float64(Float16To32(s)), float64(Float16To32(z))
}

// A stored value is within half a step of x, where the clamp does not count: the
// scale, rounded to float16, is up to 2⁻¹¹ of itself (2⁻²⁵ below the smallest normal)
// too small, which the clamp multiplies by the largest q. In KVHeadZP a minimum
// rounded up is cut off as well.
func TestKVNear(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, f := range kvFormats {
		_, qmax := f.KVRange()
		for range 500 {
			x := make([]float32, 16)
			size, shift := math.Exp(min(3*r.NormFloat64(), 6)), 5*r.NormFloat64()
			for i := range x {
				x[i] = float32(size * (r.NormFloat64() + shift))
			}
			y, scale, zero := roundTrip(t, f, x)
			tol := 0.5001*scale + float64(qmax)*(scale/2048+1.0/(1<<25)) + math.Abs(zero)/2048 + 1.0/(1<<24)
			for i := range x {
				if d := math.Abs(float64(y[i]) - float64(x[i])); d > tol {
					t.Fatalf("%+v: %v comes back as %v, scale %v, zero %v", f, x[i], y[i], scale, zero)
				}
			}
		}
	}
}

func TestKVEdges(t *testing.T) {
	for _, f := range kvFormats {
		same := func(v float32) []float32 { return []float32{v, v, v, v} }
		for _, v := range []float32{0, float32(math.Copysign(0, -1)), 1e-9, -1e-9} { // scale and zero underflow
			y, scale, _ := roundTrip(t, f, same(v))
			if scale != 0 || y[0] != 0 {
				t.Errorf("%+v: %v comes back as %v, scale %v", f, v, y[0], scale)
			}
		}
		// The largest float16 of either sign has a scale, and comes back finite.
		y, _, _ := roundTrip(t, f, []float32{MaxFloat16, -MaxFloat16, 0, 1})
		for _, v := range y {
			if !IsFinite(v) || math.Abs(float64(v)) > 1.001*MaxFloat16 {
				t.Errorf("%+v: ±65504 comes back as %v", f, y)
			}
		}
		for _, v := range []float32{65505, -65505, inf, -inf, nan} {
			if _, _, ok := f.KVScale(MinMax([]float32{1, v, 2})); ok {
				t.Errorf("%+v: %v has a scale", f, v)
			}
		}
		if f.HasZero() { // a constant is kept as the zero point
			if y, scale, zero := roundTrip(t, f, same(-3.25)); y[3] != -3.25 || scale != 0 || zero != -3.25 {
				t.Errorf("%+v: -3.25 comes back as %v, scale %v, zero %v", f, y[3], scale, zero)
			}
		}
	}
}

// The layouts are what pages hold and kernels read, so they are spelled out once.
func TestKVLayout(t *testing.T) {
	for _, c := range []struct {
		f    KV
		x    []float32
		want []uint8
	}{
		{KV{4, KVHead}, []float32{7, -1, -7, 0.5}, []uint8{0x1f, 0x87}},    // q 7 -1 | -7 0, as q+8
		{KV{4, KVHeadZP}, []float32{0, 15, 2.5, 3.5}, []uint8{0x20, 0x4f}}, // q 0 15 | 2 4
		{KV{8, KVHead}, []float32{127, -1, -127, 2.5}, []uint8{127, 255, 129, 2}},
		{KV{8, KVHeadZP}, []float32{0, 254, 128, 1}, []uint8{129, 127, 1, 130}}, // around 127
	} {
		s, z, _ := c.f.KVScale(MinMax(c.x))
		got := make([]uint8, len(c.want))
		c.f.KVStore(got, c.x, s, z)
		if Float16To32(s) != 1 || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: %v with scale %v, zero %v is %x, want %x", c.f, c.x, Float16To32(s), Float16To32(z), got, c.want)
		}
	}
}

func TestKVSizes(t *testing.T) {
	for _, c := range []struct {
		f      KV
		groups int
		bytes  int // of a token with 4 heads of 64
	}{
		{KV{4, KVToken}, 1, 2 * (128 + 2)}, {KV{4, KVHead}, 4, 2 * (128 + 8)}, {KV{4, KVHeadZP}, 4, 2 * (128 + 16)},
		{KV{8, KVHeadZP}, 4, 2 * (256 + 16)}, {KV{16, KVHeadZP}, 0, 2 * 512}, {KV{32, ""}, 0, 2 * 1024},
	} {
		if g, n := c.f.Groups(4), c.f.TokenBytes(4, 64); g != c.groups || n != c.bytes {
			t.Errorf("%+v: %d groups, %d bytes a token; want %d, %d", c.f, g, n, c.groups, c.bytes)
		}
	}
	for _, s := range []KVScheme{KVToken, KVHead, KVHeadZP} {
		if got, err := ParseKVScheme(string(s)); got != s || err != nil {
			t.Errorf("ParseKVScheme(%q) = %q, %v", s, got, err)
		}
	}
	if _, err := ParseKVScheme("row"); err == nil {
		t.Error(`ParseKVScheme("row") gives no error`)
	}
}
