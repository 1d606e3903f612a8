package cpu

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// distillRows is Distill under way.
type distillRows struct {
	d            *Device
	grad, s, t   matrix
	stats        matrix
	vocab        int
	targets      []int32
	soft, weight float32
	ps, pt       [][]float32 // of each worker: exponentials [vocab] of student and teacher
}

// Distill implements kernels.TrainDevice.
func (d *Device) Distill(dLogits, stats, logits, teacher kernels.Floats, targets kernels.Buf[int32], soft, weight float32) {
	wantShape("Distill", "dLogits", dLogits, logits.Rows, logits.Cols)
	wantShape("Distill", "teacher", teacher, logits.Rows, logits.Cols)
	wantShape("Distill", "stats", stats, logits.Rows, 4)
	wantLen("Distill", "targets", targets, logits.Rows)
	t := &d.train.distill
	t.d, t.grad, t.s, t.t = d, matrixOf(dLogits, false), matrixOf(logits, false), matrixOf(teacher, false)
	t.stats, t.vocab, t.targets = matrixOf(stats, false), logits.Cols, view(targets)
	t.soft, t.weight = soft, weight
	t.ps, t.pt = grown(t.ps, d.pool.workers, t.vocab), grown(t.pt, d.pool.workers, t.vocab)
	d.eachSpan(logits.Rows, 1, t)
}

func (t *distillRows) span(worker, from, to int) {
	for i := from; i < to; i++ {
		stats, grad := t.stats.v[i*t.stats.row:][:4], t.grad.v[i*t.grad.row:][:t.vocab]
		target := int(t.targets[i])
		if target < 0 {
			clear(stats)
			clear(grad)
			continue
		}
		student, teacher := t.s.v[i*t.s.row:][:t.vocab], t.t.v[i*t.t.row:][:t.vocab]
		ps, pt := t.ps[worker][:t.vocab], t.pt[worker][:t.vocab]
		topS, sumS := t.d.softmaxRow(ps, student)
		topT, sumT := t.d.softmaxRow(pt, teacher)
		lnS, lnT := fp.Log(float64(sumS)), fp.Log(float64(sumT)) // the sums are 1 at least

		var kl float64 // Σ p·(ln p - ln q), p = pt/sumT
		for j, p := range pt {
			kl += float64(float64(p) * (float64(teacher[j]-topT) - float64(student[j]-topS)))
		}
		stats[0] = float32(kl/float64(sumT) - lnT + lnS)
		stats[1] = float32(lnS - float64(student[target]-topS))
		stats[2] = float32(lnT - float64(teacher[target]-topT))
		stats[3] = 0
		if first(student, topS) == first(teacher, topT) {
			stats[3] = 1
		}

		// The gradient of either loss is q less what it aims at.
		k, n := &t.d.isa.train, t.vocab&^7
		a, b := t.weight/sumS, float32(-t.weight*t.soft)/sumT
		k.combine(grad[:n], ps[:n], pt[:n], a, b)
		combineGeneric(grad[n:], ps[n:], pt[n:], a, b)
		grad[target] -= float32(t.weight * (1 - t.soft))
	}
}

// softmaxRow sets p to exp(x - top), x's largest element, and returns that and the sum.
func (d *Device) softmaxRow(p, x []float32) (top, sum float32) {
	_, top = d.isa.minMaxAny(x)
	n := len(x) &^ 7
	sum = d.isa.train.expScaled(p[:n], x[:n], top, 1)
	return top, sum + expScaledGeneric(p[n:], x[n:], top, 1)
}

// first returns the first place of top in x, or -1.
func first(x []float32, top float32) int {
	for i, v := range x {
		if v == top {
			return i
		}
	}
	return -1
}
