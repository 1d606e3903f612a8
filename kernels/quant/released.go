package quant

import "math"

// releasedEpsilon is what LLM-QAT's released code adds to what it divides by.
const releasedEpsilon = 1e-6

// Released sets out, which may be x, to x as the released code of LLM-QAT
// (arXiv:2305.17888) rounds all that shares a scale while it trains: a row of weights, a
// token's activations, its K of all heads, its V of all heads. It has no integers to
// store, and nothing is served by it:
//
//	s = qmax/(max|x| + 1e-6)    qmax = 2^(bits-1) - 1
//	out = roundHalfEven(x·s)/(s + 1e-6)
//
// Every operation is rounded to float32, where that code has bfloat16. |x·s| is qmax at
// most but for rounding, so there is nothing to clamp. It returns false, and leaves out
// alone, where x holds a NaN or an infinity.
func Released(out, x []float32, bits int) bool {
	m := AbsMax(x)
	if !IsFinite(m) {
		return false
	}
	s := float32(int(1)<<(bits-1)-1) / (m + releasedEpsilon)
	by := s + releasedEpsilon
	for i, v := range x {
		out[i] = float32(math.RoundToEven(float64(v*s))) / by
	}
	return true
}
