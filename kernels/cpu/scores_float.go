package cpu

import "github.com/llmqat/llmqat/kernels/fp"

func scoresFloatGeneric(s, k, q []float32, scale float32, n, dim int) {
	for r := range len(q) / dim {
		for t := range n {
			s[r*splitTokens+t] = fp.Dot(k[t*dim:][:dim], q[r*dim:][:dim]) * scale
		}
	}
}
