package cpu

import "github.com/llmqat/llmqat/kernels/fp"

func addValuesGeneric(o, p, v []float32, n, dim int) {
	for r := range len(o) / dim {
		o := o[r*dim:][:dim]
		for t := range n {
			for i, x := range v[t*dim:][:dim] {
				o[i] = fp.FMA(p[r*splitTokens+t], x, o[i])
			}
		}
	}
}

func mergeGeneric(o, part []float32, a, b, c float32) {
	for i, x := range part {
		o[i] = fp.FMA(o[i], a, float32((x+c)*b))
	}
}

func divideGeneric(out, o []float32, l float32) {
	for i, x := range o {
		out[i] = x/l + 0
	}
}
