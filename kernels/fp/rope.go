package fp

import "math"

// The float64 functions here are plain series, each product rounded by itself: the
// same bits on every architecture, which math.Sin and math.Pow do not promise.

// Pow returns x^y for x > 0, within a few units of 1e-16.
func Pow(x, y float64) float64 { return exp(float64(y * Log(x))) }

// Ln 2 and π/2 in parts: the leading parts have at most 33 bits, so that their
// product with a 20-bit integer is exact.
const (
	ln2Hi   = 6.93147180369123816490e-01
	ln2Lo   = 1.90821492927058770002e-10
	pi2Hi   = 1.57079632673412561417e+00
	pi2Mid  = 6.07710050630396597660e-11
	pi2Low  = 2.02226624879595063154e-21
	twoByPi = 0.636619772367581343076
)

// Log returns ln x for x > 0: 2·atanh((m-1)/(m+1)) + e·ln 2 for x = m·2^e, m near 1.
func Log(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = m*2, e-1
	}
	s := (m - 1) / (m + 1)
	s2 := float64(s * s)
	var sum float64
	for k := 25; k >= 1; k -= 2 {
		sum = float64(sum*s2) + 1/float64(k)
	}
	return float64(2*s*sum) + float64(float64(e)*ln2Lo) + float64(float64(e)*ln2Hi)
}

// exp is the Taylor series of the part of x that is no multiple of ln 2.
func exp(x float64) float64 {
	n := math.RoundToEven(x / math.Ln2)
	r := x - float64(n*ln2Hi)
	r -= float64(n * ln2Lo)
	sum := 1.0
	for k := 18; k >= 1; k-- {
		sum = float64(sum*r)/float64(k) + 1
	}
	return math.Ldexp(sum, int(n))
}

// SinCos returns the sine and cosine of x, 0 <= x < 2^20, within 1e-15.
func SinCos(x float64) (sin, cos float64) {
	n := math.RoundToEven(float64(x * twoByPi))
	r := x - float64(n*pi2Hi)
	r -= float64(n * pi2Mid)
	r -= float64(n * pi2Low)
	r2 := float64(r * r)
	s, c := 1.0, 1.0
	for k := 18; k >= 2; k -= 2 { // 1 - r²/(k(k+1))·(...), 1 - r²/(k(k-1))·(...)
		s = 1 - float64(s*r2)/float64(k*(k+1))
		c = 1 - float64(c*r2)/float64(k*(k-1))
	}
	s = float64(s * r)
	switch int64(n) & 3 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}

// Rotations returns the cosines and sines of positions from to to-1 at each frequency,
// radians a position: [to-from, len(freqs)].
func Rotations(freqs []float64, from, to int) (cos, sin []float32) {
	n := (to - from) * len(freqs)
	cos, sin = make([]float32, 0, n), make([]float32, 0, n)
	for pos := from; pos < to; pos++ {
		for _, f := range freqs {
			s, c := SinCos(float64(float64(pos) * f))
			cos, sin = append(cos, float32(c)), append(sin, float32(s))
		}
	}
	return cos, sin
}
