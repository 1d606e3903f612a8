package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels/fp"
)

func softmaxGeneric(s, scale, zero, m, l, c []float32) {
	for r := range m {
		s := s[r*splitTokens:][:len(scale)]
		top := float32(math.Inf(-1))
		for _, v := range s {
			top = max(top, v)
		}
		var sum, corr [fp.Lanes]float32
		for t, v := range s {
			e := fp.Exp(v - top)
			sum[t%fp.Lanes] += e
			corr[t%fp.Lanes] = fp.FMA(e, zero[t], corr[t%fp.Lanes])
			s[t] = float32(e * scale[t])
		}
		m[r], l[r], c[r] = top, fp.Sum8(&sum), fp.Sum8(&corr)
	}
}

func rescaleGeneric(m, l, m2, l2, a, b []float32) {
	for r := range m {
		top := max(m[r], m2[r])
		a[r], b[r] = fp.Exp(m[r]-top), fp.Exp(m2[r]-top)
		l[r] = fp.FMA(l[r], a[r], float32(l2[r]*b[r]))
		m[r] = top
	}
}
