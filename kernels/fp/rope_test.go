package fp

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSinCos(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	check := func(x float64) {
		t.Helper()
		s, c := SinCos(x)
		ws, wc := math.Sincos(x)
		if math.Abs(s-ws) > 1e-15 || math.Abs(c-wc) > 1e-15 {
			t.Errorf("SinCos(%v) = %v, %v, want %v, %v", x, s, c, ws, wc)
		}
	}
	check(0)
	for n := range 1 << 12 { // multiples of π/4, where the reduction turns over
		for _, d := range []float64{-1e-9, 0, 1e-9} {
			check(math.Abs(float64(n)*math.Pi/4 + d))
		}
	}
	for range 200_000 {
		check(rng.Float64() * 100)
		check(rng.Float64() * (1 << 20))
		check(float64(rng.IntN(1 << 20)))
		check(math.Exp(rng.Float64()*30 - 25))
	}
}

func TestPow(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	check := func(x, y float64) {
		t.Helper()
		got, want := Pow(x, y), math.Pow(x, y)
		// y·log x is rounded: its relative 2⁻⁵³, times its size, is what the result is off by.
		if tol := 1e-15 * (2 + math.Abs(y*math.Log(x))); !(math.Abs(got/want-1) <= tol) {
			t.Errorf("Pow(%v, %v) = %v, want %v", x, y, got, want)
		}
	}
	for _, theta := range []float64{10_000, 500_000, 1_000_000, 5_000_000} {
		for dim := 2; dim <= 256; dim += 2 {
			for i := 0; i < dim; i += 2 {
				check(theta, -float64(i)/float64(dim))
			}
		}
	}
	for range 100_000 {
		check(math.Exp(rng.Float64()*40-20), rng.Float64()*8-4)
	}
	if Pow(10_000, 0) != 1 || Pow(1, -3) != 1 {
		t.Error("Pow(x, 0), Pow(1, y): want 1")
	}
}

// RoPE's angles must be the same on every machine: these bits were recorded.
func TestRoPEBits(t *testing.T) {
	sum := uint64(14695981039346656037)
	for i := range 64 {
		f := Pow(500_000, -float64(2*i)/128)
		for _, p := range []int{0, 1, 2, 77, 4095, 131071} {
			s, c := SinCos(float64(p) * f)
			for _, v := range []float64{s, c} {
				sum = (sum ^ math.Float64bits(v)) * 1099511628211
			}
		}
	}
	if want := uint64(0xa5e4051ccea0627); sum != want {
		t.Errorf("hash of sines and cosines %#x, want %#x", sum, want)
	}
}
