package cpu

import "github.com/llmqat/llmqat/kernels/fp"

func scores4Generic(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int, _ []uint8) {
	intScores(s, q, a, kscale, kzero, dim, func(t, i int) int32 { return int32(nibbleAt(k[t*dim/2:], i, dim)) })
}

func scores8Generic(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int, _ []uint8) {
	intScores(s, q, a, kscale, kzero, dim, func(t, i int) int32 { return int32(int8(k[t*dim+i])) })
}

// intScores is both, with element i of key t. Integers stay below 2²⁴: as
// float32 they are exact.
func intScores(s []float32, q []int8, a []intQuery, kscale, kzero []float32, dim int, key func(t, i int) int32) {
	for r, a := range a {
		for t := range kscale {
			var dot int32
			for i, v := range q[r*dim:][:dim] {
				dot += int32(v) * key(t, i)
			}
			x := float32(kscale[t] * (float32(dot) + a[queryBias]))
			s[r*splitTokens+t] = fp.FMA(kzero[t], a[querySum], x) * a[queryScale]
		}
	}
}

// keyScores is an inner loop of integer scores over keys of bytes, [n, dim] or in an
// order of its own.
type keyScores func(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int)

// scoresBy prepares keys of some bits in scratch for loop. It may be nil.
func scoresBy(bits int, prepare func(dst, src []uint8, dim int), loop keyScores) func([]float32, []uint8, []int8, []intQuery, []float32, []float32, int, []uint8) {
	return func(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int, scratch []uint8) {
		if prepare != nil {
			n := len(kscale) * dim
			prepare(scratch[:n], k[:n*bits/8], dim)
			k = scratch
		}
		loop(s, k, q, a, kscale, kzero, dim)
	}
}
