package sample

import "math"

// log returns ln x for x >= 1: 2·atanh((m-1)/(m+1)) + e·ln 2 for x = m·2^e, m near 1.
func log(x float64) float64 {
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
	return float64(2*s*sum) + float64(float64(e)*math.Ln2)
}

// random returns 64 random bits: number step of the sequence called seed. It is
// splitmix64 of both: no state, so any step can be drawn alone.
func random(seed, step uint64) uint64 {
	return mix(mix(seed) + (step+1)*0x9e3779b97f4a7c15)
}

// mix is splitmix64's output function.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
