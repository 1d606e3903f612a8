package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// sameSampling holds k to the definitions on x, whose end is a guard page's where
// it was guarded.
func sameSampling(t *testing.T, k *isa, x []float32, top, scale, least float32) {
	t.Helper()
	s, definition := Sampling{k}, Sampling{&generic}
	blocks := (len(x) + LogitBlock - 1) / LogitBlock
	got, want := make([]float32, blocks), make([]float32, blocks)
	s.BlockMax(got, x)
	definition.BlockMax(want, x)
	for b := range want {
		if got[b] != want[b] {
			t.Fatalf("%s: the largest of block %d of %d logits is %v, the definition says %v", k.name, b, len(x), got[b], want[b])
		}
	}
	below := make([]float32, len(x)) // as weigh wants it
	for i, v := range x {
		if below[i] = v; v > top {
			below[i] = top
		}
	}
	for b := range blocks {
		part := below[b*LogitBlock : min(b*LogitBlock+LogitBlock, len(x))]
		w, wantW := make([]float32, len(part)), make([]float32, len(part))
		sum, wantSum := s.Weigh(w, part, top, scale, least), definition.Weigh(wantW, part, top, scale, least)
		sameBits(t, k.name+" weights", w, wantW)
		if sum != wantSum {
			t.Fatalf("%s: weights of block %d sum to %d, the definition says %d", k.name, b, sum, wantSum)
		}
	}
}

func TestSampling(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	signalling := math.Float32frombits(0xff800001)
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(6, 1))
		for _, n := range []int{1, 7, 8, 9, 40, 127, 128, 129, 136, 1000, 1024} {
			x := floatsAt(t, r, n)
			for _, scale := range []float32{1, 1.3, 0.01, 0x1p100} {
				sameSampling(t, k, x, 3, scale, -math.MaxFloat32)
				sameSampling(t, k, x, 0, scale, -0.5)
				sameSampling(t, k, x, math.MaxFloat32, scale, -math.MaxFloat32)
			}
			for _, v := range []float32{inf, -inf, nan, -nan, signalling} {
				for range n/20 + 1 {
					x[r.IntN(n)] = v
				}
				sameSampling(t, k, x, 2, 1, -math.MaxFloat32)
			}
			for i := range x {
				x[i] = -inf
			}
			x[r.IntN(n)] = nan
			sameSampling(t, k, x, 0, 1, -math.MaxFloat32)
		}
	})
}

// Weights are e^(x-top), to float32's precision or to half a unit, and their sums
// are exact.
func TestSamplingWeights(t *testing.T) {
	x, w := make([]float32, LogitBlock), make([]float32, LogitBlock)
	for i := range x {
		x[i] = 7 - float32(i)/4
	}
	x[3], x[9] = float32(math.NaN()), float32(math.Inf(-1))
	sum := Sampling{&generic}.Weigh(w, x, 7, 2, -20)
	total := uint64(0)
	for i, v := range x {
		want := WeightOne * math.Exp(2*(float64(v)-7))
		if !(v >= -20) {
			want = 0
		}
		// exp is within 1.1 ulp, the arguments are exact.
		if got := float64(w[i]); !(math.Abs(got-want) <= 0.5+want*0x1.2p-23) || got != math.Trunc(got) {
			t.Errorf("logit %v weighs %v, want %v", v, got, want)
		}
		total += uint64(w[i])
	}
	if w[0] != WeightOne || sum != total {
		t.Errorf("the most likely weighs %v, want %v; all %d, want %d", w[0], WeightOne, sum, total)
	}
}

// FuzzSampling holds every instruction set to the definitions on arbitrary floats.
func FuzzSampling(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xff, 1, 0, 0xc0, 0x7f}, float32(1), float32(-3))
	f.Fuzz(func(t *testing.T, data []byte, scale, least float32) {
		if !(scale > 0 && scale <= 0x1p100) || least != least || math.IsInf(float64(least), 0) {
			t.Skip()
		}
		x := make([]float32, len(data)/4)
		top := float32(-math.MaxFloat32)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			if x[i] > top {
				top = min(x[i], math.MaxFloat32)
			}
		}
		for i := range available {
			sameSampling(t, &available[i], x, top, scale, least)
		}
	})
}

func BenchmarkSampling(b *testing.B) {
	const n = 32_000
	r := rand.New(rand.NewPCG(7, 1))
	x, tops, w := make([]float32, n), make([]float32, n/LogitBlock), make([]float32, n)
	for i := range x {
		x[i] = float32(2 * r.NormFloat64())
	}
	for _, name := range ISAs() {
		s, err := NewSampling(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("isa=%s/op=max/n=%d", name, n), func(b *testing.B) {
			for b.Loop() {
				s.BlockMax(tops, x)
			}
		})
		b.Run(fmt.Sprintf("isa=%s/op=weigh/n=%d", name, n), func(b *testing.B) {
			for b.Loop() {
				for i := 0; i < n; i += LogitBlock {
					s.Weigh(w[i:i+LogitBlock], x[i:i+LogitBlock], 10, 1, -math.MaxFloat32)
				}
			}
		})
	}
}
