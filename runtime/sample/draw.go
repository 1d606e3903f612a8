package sample

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
)

// maxScale is the scale of temperatures so low that only equals of the largest
// logit have a weight.
const maxScale = 0x1p100

// draw returns how tokens are drawn by p, but for the random bits.
func (p *Params) draw(vocab int) kernels.Draw {
	if p.Temperature == 0 || p.TopK == 1 {
		return kernels.Draw{Scale: 1, TopK: 1}
	}
	d := kernels.Draw{Scale: float32(min(1/p.Temperature, maxScale)), Below: math.Inf(1)}
	if p.MinP > 0 {
		d.Below = log(1/max(p.MinP, math.SmallestNonzeroFloat32)) / float64(d.Scale)
	}
	if p.TopK < vocab {
		d.TopK = int32(p.TopK)
	}
	if p.TopP > 0 {
		d.Leave = 1 - p.TopP
	}
	return d
}

// draw draws from the row at hand.
func (w *Work) draw(d *kernels.Draw) int32 {
	if d.TopK == 1 {
		return w.first()
	}
	w.scale = d.Scale
	w.least = max(-math.MaxFloat32, float32(float64(w.top)-d.Below))
	if d.TopK > 0 && int(d.TopK) < len(w.logits) {
		w.mostLikely(int(d.TopK))
		total := w.weighList()
		if d.Leave > 0 {
			last, _ := crossing(w.list, enough(d.Leave, total))
			w.gather(last)
			total = w.weighList()
		}
		return w.pickFromList(below(d.Random, total))
	}
	total := w.weigh()
	if d.Leave > 0 {
		last, sum := w.nucleus(d.Leave, total)
		return w.pickUpTo(last, below(d.Random, sum))
	}
	return w.pick(below(d.Random, total))
}

// below returns a number 0 <= x < n, as likely as any other to 2⁻⁶⁴·n.
func below(random, n uint64) uint64 {
	x, _ := bits.Mul64(random, n)
	return x
}

// enough returns what of total must be left at least after top-p, which may leave
// out that part of it, but never all.
func enough(leave float64, total uint64) uint64 {
	return total - min(uint64(float64(leave*float64(total))), total-1)
}

// pick returns the token at target, 0 <= target < Σ weights, counted by id.
func (w *Work) pick(target uint64) int32 {
	for b, sum := range w.sums {
		if target < sum {
			return w.pickFromBlock(b, target)
		}
		target -= sum
	}
	panic(fmt.Sprintf("sample: the weights end %d before the target", target))
}

// pickUpTo is pick among the tokens down to last.
func (w *Work) pickUpTo(last candidate, target uint64) int32 {
	for b, top := range w.tops {
		if top < last.logit {
			continue
		}
		// Of equals of last those behind it are out.
		from, to := w.block(b)
		mid := min(max(int(last.id)+1, from), to)
		sum := w.loops.Weigh(w.weights[from:mid], w.logits[from:mid], w.top, w.scale, last.logit)
		sum += w.loops.Weigh(w.weights[mid:to], w.logits[mid:to], w.top, w.scale, math.Nextafter32(last.logit, math.MaxFloat32))
		if target < sum {
			return w.pickFromBlock(b, target)
		}
		target -= sum
	}
	panic(fmt.Sprintf("sample: the weights end %d before the target", target))
}

func (w *Work) pickFromBlock(b int, target uint64) int32 {
	from, to := w.block(b)
	for i, v := range w.weights[from:to] {
		v := uint64(int64(v))
		if target < v {
			return int32(from + i)
		}
		target -= v
	}
	panic(fmt.Sprintf("sample: block %d ends %d before the target", b, target))
}

// weighList weighs the candidates, and returns the sum.
func (w *Work) weighList() (total uint64) {
	for from := 0; from < len(w.list); from += cpu.LogitBlock {
		part := w.list[from:min(from+cpu.LogitBlock, len(w.list))]
		logits, weights := w.few[:len(part)], w.weights[:len(part)]
		for i := range part {
			logits[i] = part[i].logit
		}
		total += w.loops.Weigh(weights, logits, w.top, w.scale, w.least)
		for i := range part {
			part[i].weight = uint64(int64(weights[i]))
		}
	}
	return total
}

// pickFromList is pick among the candidates.
func (w *Work) pickFromList(target uint64) int32 {
	for i := range w.list {
		if target < w.list[i].weight {
			return w.list[i].id
		}
		target -= w.list[i].weight
	}
	panic(fmt.Sprintf("sample: the weights end %d before the target", target))
}
