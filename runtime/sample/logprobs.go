package sample

import "math"

// TokenLogprob is a token and the natural logarithm of its probability.
type TokenLogprob struct {
	ID      int32
	Logprob float32
}

// Logprob returns ln p of the token id under softmax(logits), and the top most
// likely tokens in order, of equals the smallest id first. A NaN counts as -Inf,
// which is also the result where p is 0.
func Logprob(logits []float32, id int32, top int) (float32, []TokenLogprob) {
	i := best(logits)
	if i < 0 {
		return float32(math.Inf(-1)), nil
	}
	most := ceil(logits[i])
	sum := 0.0
	for _, v := range logits {
		sum += exp(ceil(v) - most)
	}
	norm := log(sum)
	logprob := func(v float32) float32 {
		if v != v {
			v = float32(math.Inf(-1))
		}
		return float32(ceil(v) - most - norm)
	}
	var list []TokenLogprob
	if top > 0 {
		list = mostLikely(logits, min(top, len(logits)))
		for i := range list {
			list[i].Logprob = logprob(list[i].Logprob)
		}
	}
	return logprob(logits[id]), list
}

// mostLikely returns the n tokens of the largest logits, in order, with their logits.
func mostLikely(logits []float32, n int) []TokenLogprob {
	list := make([]TokenLogprob, 0, n)
	for id, v := range logits {
		if !(v > float32(math.Inf(-1))) || len(list) == n && v <= list[n-1].Logprob {
			continue
		}
		if len(list) < n {
			list = list[:len(list)+1]
		}
		i := len(list) - 1
		for ; i > 0 && v > list[i-1].Logprob; i-- {
			list[i] = list[i-1]
		}
		list[i] = TokenLogprob{int32(id), v}
	}
	return list
}
