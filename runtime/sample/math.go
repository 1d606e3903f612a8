package sample

import "math"

// expSteps is the number of parts that exp's table cuts a factor of 2 into.
const expSteps = 64

// exp2 [i] is 2^(i/expSteps), from the exact 2^(1/2), 2^(1/4), ... that correctly
// rounded square roots give, multiplied together.
var exp2 = func() (t [expSteps]float64) {
	for i := range t {
		t[i] = 1
		for root, bit := math.Sqrt2, expSteps/2; bit > 0; root, bit = math.Sqrt(root), bit/2 {
			if i&bit != 0 {
				t[i] *= root
			}
		}
	}
	return t
}()

// expMin is where exp becomes 0. A token this far below the best one, and 4
// million of its kind together, weigh less than the last bit of a random number.
const expMin = -52

// exp returns e^x for x <= 0, within 1e-15 of it, and 0 below expMin and for NaN.
//
// x = n·ln2/64 + r, |r| <= 0.0055: five terms of the series leave r⁶/720 < 4e-17.
func exp(x float64) float64 {
	if !(x >= expMin) {
		return 0
	}
	const (
		ln2Hi = 6.93147180369123816490e-01 / expSteps // 33 bits: exact times n
		ln2Lo = 1.90821492927058770002e-10 / expSteps
	)
	n := math.RoundToEven(float64(x * (expSteps / math.Ln2)))
	r := float64(x-float64(n*ln2Hi)) - float64(n*ln2Lo)
	p := float64(r*(1.0/120)) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 0.5
	p = float64(p*r) + 1
	p = float64(p*r) + 1
	k := int(n)
	scaled := math.Float64bits(exp2[k&(expSteps-1)]) + uint64(k>>6)<<52 // 2^-76 at the smallest: normal
	return float64(p * math.Float64frombits(scaled))
}

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

// uniform returns number step of the random sequence called seed, in [0, 1) with
// 53 bits. It is splitmix64 of both: no state, so any step can be drawn alone.
func uniform(seed, step uint64) float64 {
	return float64(mix(mix(seed)+(step+1)*0x9e3779b97f4a7c15)>>11) * (1.0 / (1 << 53))
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
