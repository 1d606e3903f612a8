package cpu

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// distillTopK is DistillTopK under way.
type distillTopK struct {
	d              *Device
	grad, s, t     matrix
	stats          matrix
	vocab, k       int
	ids, targets   []int32
	soft, weight   float32
	ps, rest, want [][]float32 // of each worker: exponentials of the student [vocab], of its tail [vocab], the teacher's probabilities [k+1]
}

// DistillTopK implements kernels.TrainDevice.
func (d *Device) DistillTopK(dLogits, stats, logits, teacher kernels.Floats, ids, targets kernels.Buf[int32], soft, weight float32) {
	const op = "DistillTopK"
	k := teacher.Cols - 1
	if k < 1 || k > logits.Cols {
		panic(fmt.Sprintf("cpu: %s: %d tokens of a vocabulary of %d", op, k, logits.Cols))
	}
	wantShape(op, "dLogits", dLogits, logits.Rows, logits.Cols)
	wantShape(op, "teacher", teacher, logits.Rows, k+1)
	wantShape(op, "stats", stats, logits.Rows, 4)
	wantLen(op, "ids", ids, logits.Rows*k)
	wantLen(op, "targets", targets, logits.Rows)
	t := &d.train.topK
	t.d, t.grad, t.s, t.t, t.stats = d, matrixOf(dLogits, false), matrixOf(logits, false), matrixOf(teacher, false), matrixOf(stats, false)
	t.vocab, t.k, t.ids, t.targets, t.soft, t.weight = logits.Cols, k, view(ids), view(targets), soft, weight
	for i, id := range t.ids {
		if id < 0 || int(id) >= t.vocab {
			panic(fmt.Sprintf("cpu: %s: ids[%d] is %d of a vocabulary of %d", op, i, id, t.vocab))
		}
	}
	w := d.pool.workers
	t.ps, t.rest, t.want = grown(t.ps, w, t.vocab), grown(t.rest, w, t.vocab), grown(t.want, w, k+1)
	d.eachSpan(logits.Rows, 1, t)
}

// span does rows. With classes c, the teacher's probabilities t, the student's s, and
// those of the tail s' within it, the gradient of -Σ t·ln s in logit j is
//
//	s[j] - t[j]            of a class of its own, since Σ t = 1
//	s[j] - t[tail]·s'[j]   in the tail, where ln s[tail] = ln Σ exp(logit) over it - ln Σ exp(logit)
//
// The tail has a maximum of its own to take exponentials from, so that neither its sum
// nor the logarithm of that vanishes where the student gives it next to nothing.
func (t *distillTopK) span(worker, from, to int) {
	for i := from; i < to; i++ {
		stats, grad := t.stats.v[i*t.stats.row:][:4], t.grad.v[i*t.grad.row:][:t.vocab]
		target := int(t.targets[i])
		if target < 0 {
			clear(stats)
			clear(grad)
			continue
		}
		student, ids, ln := t.s.v[i*t.s.row:][:t.vocab], t.ids[i*t.k:][:t.k], t.t.v[i*t.t.row:][:t.k+1]
		ps, rest, want := t.ps[worker][:t.vocab], t.rest[worker][:t.vocab], t.want[worker][:t.k+1]
		top, sum := t.d.softmaxRow(ps, student)
		lnSum := fp.Log(float64(sum))
		place, of := first(student, top), t.k // where its likeliest token is, and which class the target has
		stats[1] = float32(lnSum - float64(student[target]-top))

		copy(rest, student)
		var kl float64
		for c, id := range ids {
			want[c] = fp.Exp(ln[c])
			rest[id] = negInf
			if want[c] > 0 {
				kl += float64(float64(want[c]) * (float64(ln[c]) - (float64(student[id]-top) - lnSum)))
			}
			if int(id) == target {
				of = c
			}
		}
		b := float32(0)
		if want[t.k] = fp.Exp(ln[t.k]); t.k < t.vocab && want[t.k] > 0 {
			topRest, sumRest := t.d.softmaxRow(rest, rest)
			kl += float64(float64(want[t.k]) * (float64(ln[t.k]) - (float64(topRest-top) + fp.Log(float64(sumRest)) - lnSum)))
			b = float32(-t.weight*t.soft*want[t.k]) / sumRest
		} else {
			clear(rest)
		}
		stats[0], stats[2], stats[3] = float32(kl), -ln[of], 0
		if place == int(ids[0]) {
			stats[3] = 1
		}

		k, n, a := &t.d.isa.train, t.vocab&^7, t.weight/sum
		k.combine(grad[:n], ps[:n], rest[:n], a, b)
		combineGeneric(grad[n:], ps[n:], rest[n:], a, b)
		for c, id := range ids {
			grad[id] -= float32(t.weight * t.soft * want[c])
		}
		grad[target] -= float32(t.weight * (1 - t.soft))
	}
}
