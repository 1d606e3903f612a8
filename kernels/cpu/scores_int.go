package cpu

import "github.com/llmqat/llmqat/kernels/fp"

func scores4Generic(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int) {
	intScores(s, q, a, kscale, kzero, dim, func(i int) int32 { return int32(k[i]) })
}

func scores8Generic(s []float32, k []uint8, q []int8, a []intQuery, kscale, kzero []float32, dim int) {
	intScores(s, q, a, kscale, kzero, dim, func(i int) int32 { return int32(int8(k[i])) })
}

// intScores is both, with the element i of the keys. Integers stay below 2²⁴: as
// float32 they are exact.
func intScores(s []float32, q []int8, a []intQuery, kscale, kzero []float32, dim int, key func(i int) int32) {
	for r, a := range a {
		for t := range kscale {
			var dot int32
			for i, v := range q[r*dim:][:dim] {
				dot += int32(v) * key(t*dim+i)
			}
			x := float32(kscale[t] * (float32(dot) + a[queryBias]))
			s[r*splitTokens+t] = fp.FMA(kzero[t], a[querySum], x) * a[queryScale]
		}
	}
}
