package quant

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

func TestAbsMax(t *testing.T) {
	for _, c := range []struct {
		x    []float32
		want float32
	}{
		{nil, 0}, {[]float32{float32(math.Copysign(0, -1))}, 0}, {[]float32{1, -3, 2}, 3}, {[]float32{1e-45}, 1e-45}, {[]float32{1, -inf, 2}, inf},
	} {
		if got := AbsMax(c.x); got != c.want {
			t.Errorf("AbsMax(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if got := AbsMax([]float32{inf, nan, 3}); IsFinite(got) {
		t.Errorf("AbsMax with a NaN = %v, want it not finite", got)
	}
}

func TestActivations(t *testing.T) {
	const tiny = 1.401298464324817e-45 // the smallest float32
	for _, c := range []struct {
		name  string
		bits  int
		x     []float32
		q     []int8
		scale float32
	}{
		{"zeros", 8, []float32{0, 0}, []int8{0, 0}, 0},
		{"the largest is qmax", 8, []float32{-127, 1, 0.4}, []int8{-127, 1, 0}, 1},
		{"half to even", 8, []float32{127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5}, []int8{127, 0, 2, 2, 0, -2, -2}, 1},
		{"6 bits", 6, []float32{31, -31, 15.5}, []int8{31, -31, 16}, 1},
		{"4 bits", 4, []float32{-7, 3.4}, []int8{-7, 3}, 1},
		{"a scale that underflows", 8, []float32{tiny, -60 * tiny}, []int8{0, 0}, 0},
		{"a subnormal scale clamps", 4, []float32{10 * tiny, -10 * tiny, tiny}, []int8{7, -7, 1}, tiny},
	} {
		q := slices.Repeat([]int8{99}, len(c.x))
		scale, sum, finite := Activations(q, c.x, c.bits)
		var want int32
		for _, v := range c.q {
			want += int32(v)
		}
		if !slices.Equal(q, c.q) || scale != c.scale || sum != want || !finite {
			t.Errorf("%s: %v, scale %v, sum %d, finite %v; want %v, %v, %d", c.name, q, scale, sum, finite, c.q, c.scale, want)
		}
	}
	for _, v := range []float32{nan, inf, -inf} {
		q := []int8{1, 2}
		if scale, sum, finite := Activations(q, []float32{1, v}, 8); finite || scale != 0 || sum != 0 || q[0] != 0 || q[1] != 0 {
			t.Errorf("with %v: %v, scale %v, sum %d, finite %v", v, q, scale, sum, finite)
		}
	}
}

// A quotient errs by half an ulp of float32 before it is rounded to an integer, so
// q·scale is within half a step, and a little, of x.
func TestActivationsNear(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, bits := range []int{4, 6, 8} {
		for range 200 {
			x, q := make([]float32, 37), make([]int8, 37)
			for i := range x {
				x[i] = float32(r.NormFloat64() * math.Exp(10*r.NormFloat64()))
			}
			scale, _, _ := Activations(q, x, bits)
			for i, v := range x {
				if d := math.Abs(float64(q[i])*float64(scale) - float64(v)); d > 0.5001*float64(scale) {
					t.Fatalf("%d bits: %v is %d·%v, off by %v", bits, v, q[i], scale, d)
				}
			}
		}
	}
}

func TestWeightRow(t *testing.T) {
	for _, c := range []struct {
		bits  int
		w     []float32
		q     []int8
		scale float32
	}{
		{4, []float32{7, -7, 0.5, 1.5, -8e-9}, []int8{7, -7, 0, 2, 0}, 1},
		{8, []float32{-127, 0.5, 63.5}, []int8{-127, 0, 64}, 1},
		{4, []float32{0, 0}, []int8{0, 0}, 0},
	} {
		q := make([]int8, len(c.w))
		scale, err := WeightRow(q, c.w, c.bits)
		if err != nil || scale != c.scale || !slices.Equal(q, c.q) {
			t.Errorf("%d bits of %v: %v, scale %v, error %v; want %v, %v", c.bits, c.w, q, scale, err, c.q, c.scale)
		}
	}
	q := make([]int8, 3)
	WeightRowScaled(q, []float32{-100, 100, -7.6}, 1, Int4Min, Int4Max)
	if want := []int8{-8, 7, -8}; !slices.Equal(q, want) {
		t.Errorf("a given scale: %v, want %v", q, want)
	}
	for _, v := range []float32{nan, inf} {
		if _, err := WeightRow(q, []float32{1, v, 2}, 4); !errors.Is(err, ErrNotFinite) {
			t.Errorf("with %v: error %v, want ErrNotFinite", v, err)
		}
	}
}

// The layout is what files and kernels rely on, so it is spelled out once.
func TestPackInt4Layout(t *testing.T) {
	q := make([]int8, 66)
	q[0], q[32], q[1], q[33], q[64], q[65] = -8, 7, 3, -1, 5, -5
	dst := make([]uint8, Int4Bytes(len(q)))
	PackInt4(dst, q)
	want := slices.Repeat([]uint8{0x88}, 64)
	want[0], want[1], want[32], want[33] = 0xf0, 0x7b, 0x8d, 0x83
	if !slices.Equal(dst, want) {
		t.Errorf("packed %x, want %x", dst, want)
	}
}

func FuzzPackInt4(f *testing.F) {
	f.Add([]byte{0, 15, 7, 8})
	f.Add(make([]byte, 65))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, got := make([]int8, len(b)), make([]int8, len(b))
		for i, v := range b {
			q[i] = int8(v&15) - 8
		}
		dst := make([]uint8, Int4Bytes(len(q)))
		PackInt4(dst, q)
		if UnpackInt4(got, dst); !slices.Equal(got, q) {
			t.Errorf("unpacked %v, packed %v", got, q)
		}
		padded := make([]int8, 2*len(dst))
		UnpackInt4(padded, dst)
		for i, v := range padded[len(q):] {
			if v != 0 {
				t.Errorf("padding %d is %d", i, v)
			}
		}
	})
}
