package sample

import (
	"math"

	"github.com/llmqat/llmqat/kernels/cpu"
)

// candidate is a token that may be drawn.
type candidate struct {
	logit  float32
	id     int32
	weight uint64
}

func (a *candidate) before(b *candidate) bool {
	return a.logit > b.logit || a.logit == b.logit && a.id < b.id
}

// crossing returns the candidate with which the weights, from the most likely one
// down, come to enough, and what they come to. They are 0 < enough at least in all.
// It reorders c.
//
// This is quickselect: the part of c that holds the crossing is cut in two until one
// is left. The pivots' places are hashes of lengths, so that no order of logits is
// slow but by chance.
func crossing(c []candidate, enough uint64) (last candidate, sum uint64) {
	for len(c) > 1 {
		end := len(c) - 1
		at := int(mix(uint64(len(c))) % uint64(len(c)))
		c[at], c[end] = c[end], c[at]
		pivot, n, above := c[end], 0, sum
		for i := range c[:end] {
			if c[i].before(&pivot) {
				above += c[i].weight
				c[n], c[i] = c[i], c[n]
				n++
			}
		}
		c[n], c[end] = c[end], c[n]
		switch {
		case above >= enough:
			c = c[:n]
		case above+pivot.weight >= enough:
			return pivot, above + pivot.weight
		default:
			c, sum = c[n+1:], above+pivot.weight
		}
	}
	return c[0], sum + c[0].weight
}

// gather lists the tokens down to last, by id, each with weight 1.
func (w *Work) gather(last candidate) {
	w.list = w.list[:0]
	for b, top := range w.tops {
		if top < last.logit {
			continue
		}
		from, to := w.block(b)
		for i, v := range w.logits[from:to] {
			if v >= last.logit && (v > last.logit || int32(from+i) <= last.id) {
				w.list = append(w.list, candidate{v, int32(from + i), 1})
			}
		}
	}
}

// mostLikely lists the k most likely tokens, by id, or fewer where min-p leaves no more.
func (w *Work) mostLikely(k int) {
	last := candidate{logit: w.least, id: math.MaxInt32}
	if k <= len(w.tops) { // k blocks have at least k logits as large as their k largest tops
		w.list = w.list[:0]
		for b, top := range w.tops {
			w.list = append(w.list, candidate{top, int32(b), 1})
		}
		bound, _ := crossing(w.list, uint64(k))
		last.logit = max(last.logit, bound.logit)
	}
	w.gather(last)
	if len(w.list) > k {
		last, _ = crossing(w.list, uint64(k))
		w.gather(last)
	}
}

// nBuckets and bucketsPerE, the number in which weights fall by a factor of e, are
// such that the smallest weight that is not 0, e⁻²⁸·⁴ of the largest, is in bucket 909.
const (
	nBuckets    = 1024
	bucketsPerE = 32
)

// bucket returns the bucket of a token so many buckets below the largest logit. One
// that weighs nothing has any.
func bucket(below float32) int { return int(int32(below)) & (nBuckets - 1) }

// nucleus returns the last token that top-p leaves of all, which weigh total, and
// what those weigh that it leaves.
//
// Logits are sorted in buckets; only the one in which the crossing is has to be
// sorted further.
func (w *Work) nucleus(leave float64, total uint64) (last candidate, sum uint64) {
	enough := enough(leave, total)
	low := max(w.least, w.never(leave, total))
	perBucket := w.scale * bucketsPerE
	clear(w.buckets[:])
	for b, top := range w.tops {
		if top < low {
			continue
		}
		from, to := w.block(b)
		logits, weights := w.logits[from:to], w.weights[from:to]
		for i, v := range logits {
			w.buckets[bucket((w.top-v)*perBucket)] += uint64(int64(weights[i]))
		}
	}
	cross := 0
	for sum+w.buckets[cross] < enough {
		sum += w.buckets[cross]
		cross++
	}
	w.list = w.list[:0]
	for b, top := range w.tops {
		if top < low || bucket((w.top-top)*perBucket) > cross {
			continue
		}
		from, to := w.block(b)
		logits, weights := w.logits[from:to], w.weights[from:to]
		for i, v := range logits {
			if bucket((w.top-v)*perBucket) == cross && weights[i] > 0 {
				w.list = append(w.list, candidate{v, int32(from + i), uint64(int64(weights[i]))})
			}
		}
	}
	last, part := crossing(w.list, enough-sum)
	return last, sum + part
}

// never returns a logit below which top-p leaves no token: n tokens that weigh
// leave·total/4n or less, and with rounding to whole numbers twice that at most, are
// half of what it may leave out.
func (w *Work) never(leave float64, total uint64) float32 {
	each := leave * float64(total) / float64(4*len(w.logits))
	v := float64(w.top) - log(cpu.WeightOne/each)/float64(w.scale)
	low := float32(v)
	if float64(low) > v {
		low = math.Nextafter32(low, float32(math.Inf(-1)))
	}
	return low
}
