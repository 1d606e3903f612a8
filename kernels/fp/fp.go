// Package fp defines the float32 arithmetic of the kernels to the bit, so that
// every instruction set can give the same result: a fused multiply-add that is
// rounded once, one polynomial for exp, and the sines of RoPE. It uses nothing of
// package math that differs between architectures, and writes float32(x*y)+z
// where a product must be rounded before the sum.
package fp

import "math"

// Lanes is the number of partial sums that a float dot product keeps: element i
// goes to lane i mod Lanes.
const Lanes = 8

// Block is the number of elements after which a dot product starts fresh lanes;
// the lanes of each block are added to the total, in order.
const Block = 256

// FMA returns x·y+z rounded once, as VFMADD and FMLA do.
//
// The product is exact in float64, so a compiler that fuses it with the sums below
// changes nothing. The sum may be rounded there, and rounding it
// again to float32 errs only where the float64 is a tie, whose lower bits are zero;
// such a sum is first moved off the tie, to the side that the exact sum is on.
func FMA(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	b := math.Float64bits(s)
	if b&(1<<28-1) != 0 {
		return float32(s)
	}
	// TwoSum: s + e = p + z exactly; e is NaN where s is not finite.
	t := s - p
	e := (p - (s - t)) + (float64(z) - t)
	if e == 0 || math.IsNaN(e) {
		return float32(s)
	}
	if (e > 0) == (s > 0) {
		b++
	} else {
		b--
	}
	return float32(math.Float64frombits(b))
}

// Dot returns Σ w·x in the kernels' order: per Block of elements, Lanes partial
// sums by FMA; block sums added lane by lane, in order; then Sum8. The length is a
// multiple of Lanes.
func Dot(w, x []float32) float32 {
	var total [Lanes]float32
	for b := 0; b < len(x); b += Block {
		var acc [Lanes]float32
		for i := b; i < min(b+Block, len(x)); i += Lanes {
			for l := range Lanes {
				acc[l] = FMA(w[i+l], x[i+l], acc[l])
			}
		}
		for l := range Lanes {
			total[l] += acc[l]
		}
	}
	return Sum8(&total)
}

// Sum8 adds eight lanes: halves, then quarters, then the last two.
func Sum8(a *[Lanes]float32) float32 {
	b0, b1, b2, b3 := a[0]+a[4], a[1]+a[5], a[2]+a[6], a[3]+a[7]
	return (b0 + b2) + (b1 + b3)
}

// Exp's constants: ln 2 split in a part of few bits and the rest, and the
// polynomial of (e^r - 1 - r)/r² for |r| <= ln2/2 (a minimax fit; with FMA the
// whole is within 1.1 ulp).
const (
	ExpLo   = -87.0 // below: 0
	ExpHi   = 88.0  // above: e^88
	Log2E   = 1.44269504
	Ln2Hi   = 0.693359375
	Ln2Lo   = -2.12194440e-4
	ExpC0   = 5.0000001201e-1
	ExpC1   = 1.6666665459e-1
	ExpC2   = 4.1665795894e-2
	ExpC3   = 8.3334519073e-3
	ExpC4   = 1.3981999507e-3
	ExpC5   = 1.9875691500e-4
	expBias = 127
)

// Exp returns e^x, and 0 for x < ExpLo; x above ExpHi counts as ExpHi. x is no NaN.
func Exp(x float32) float32 {
	if x < ExpLo {
		return 0
	}
	x = min(x, ExpHi)
	n := float32(math.RoundToEven(float64(float32(x * Log2E))))
	r := FMA(n, -Ln2Hi, x)
	r = FMA(n, -Ln2Lo, r)
	p := float32(ExpC5)
	for _, c := range [...]float32{ExpC4, ExpC3, ExpC2, ExpC1, ExpC0} {
		p = FMA(p, r, c)
	}
	r2 := float32(r * r)
	p = FMA(p, r2, r) + 1
	return math.Float32frombits(math.Float32bits(p) + uint32(int32(n))<<23)
}

// SiLU returns x·sigmoid(x) = x / (1 + e^-x).
func SiLU(x float32) float32 { return x / (1 + Exp(-x)) }
