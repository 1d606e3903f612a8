package sample

import (
	"math"

	"github.com/llmqat/llmqat/kernels/cpu"
)

// TokenLogprob is a token and the natural logarithm of its probability.
type TokenLogprob struct {
	ID      int32
	Logprob float32
}

// Logprob returns ln p of the token id under softmax(logits), and the top most
// likely tokens in order, of equals the smallest id first. A NaN counts as -Inf,
// which is also the result where p is 0.
func Logprob(w *Work, logits []float32, id int32, top int) (float32, []TokenLogprob) {
	if !w.set(logits) {
		return float32(math.Inf(-1)), nil
	}
	w.scale, w.least = 1, -math.MaxFloat32
	norm := log(float64(w.weigh()) / cpu.WeightOne)
	logprob := func(v float32) float32 {
		if v != v {
			v = float32(math.Inf(-1))
		}
		return float32(float64(v) - float64(w.top) - norm)
	}
	var list []TokenLogprob
	if top > 0 {
		list = w.largest(min(top, len(logits)))
		for i := range list {
			list[i].Logprob = logprob(list[i].Logprob)
		}
	}
	return logprob(w.logits[id]), list
}

// largest returns the n tokens of the largest logits, in order, with their logits.
func (w *Work) largest(n int) []TokenLogprob {
	list := make([]TokenLogprob, 0, n)
	for b, top := range w.tops {
		if len(list) == n && top <= list[n-1].Logprob {
			continue
		}
		from, to := w.block(b)
		for i, v := range w.logits[from:to] {
			if !(v >= -math.MaxFloat32) || len(list) == n && v <= list[n-1].Logprob {
				continue
			}
			if len(list) < n {
				list = list[:len(list)+1]
			}
			i, id := len(list)-1, int32(from+i)
			for ; i > 0 && v > list[i-1].Logprob; i-- {
				list[i] = list[i-1]
			}
			list[i] = TokenLogprob{id, v}
		}
	}
	return list
}
