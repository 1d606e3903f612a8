package cpu

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// distillMaps is DistillAttention under way, on the memory of CausalAttention's task. A
// row of it is one key head of one sequence, whose query heads add to the same keys.
type distillMaps struct {
	*trainAttention
	teacherQ, teacherK, teacherStats matrix
	gaps                             matrix
	weight                           float32
	train                            bool
	exps                             [][]float32 // of each worker: a row's exponentials, the student's and the teacher's
}

// DistillAttention implements kernels.TrainDevice.
func (d *Device) DistillAttention(dq, dk, gaps kernels.Floats, student, teacher kernels.Attended, s kernels.Sequences, weight float32) {
	const op = "DistillAttention"
	q, k := student.Q, student.K
	t := &d.train.maps
	t.trainAttention = d.attend(op, student.Stats, q, k, s)
	wantShape(op, "teacher's q", teacher.Q, q.Rows, q.Cols)
	wantShape(op, "teacher's k", teacher.K, k.Rows, k.Cols)
	wantShape(op, "teacher's stats", teacher.Stats, student.Stats.Rows, student.Stats.Cols)
	wantShape(op, "gaps", gaps, q.Rows, t.heads)
	t.train = dq.Rows > 0 || dk.Rows > 0
	if t.train {
		wantShape(op, "dq", dq, q.Rows, q.Cols)
		wantShape(op, "dk", dk, k.Rows, k.Cols)
		t.dq, t.dk = matrixOf(dq, false), matrixOf(dk, false)
	}
	t.teacherQ, t.teacherK, t.teacherStats = matrixOf(teacher.Q, false), matrixOf(teacher.K, false), matrixOf(teacher.Stats, false)
	t.gaps, t.weight = matrixOf(gaps, false), weight
	t.exps = grown(t.exps, d.pool.workers, 2*t.pads)
	d.eachSpan(s.N*t.kvHeads, 1, t)
}

func (t *distillMaps) span(worker, from, to int) {
	group := t.heads / t.kvHeads
	for i := from; i < to; i++ {
		first, end, g := int(t.start[i/t.kvHeads]), int(t.start[i/t.kvHeads+1]), i%t.kvHeads
		for h := g * group; h < (g+1)*group; h++ {
			for at := 0; at < end-first; at += attendRows {
				t.block(worker, first, at, min(attendRows, end-first-at), h)
			}
		}
	}
}

// block does rows at.. of head h. With weights P of the student and T of the teacher, the
// gradient of KL(T ‖ P) in the student's scores is P - T.
func (t *distillMaps) block(worker, first, at, rows, h int) {
	cols, g := at+rows, h/(t.heads/t.kvHeads)
	ds := t.scores(worker, t.p[worker], t.q, t.k, first, at, rows, h)
	wanted := t.scores(worker, t.dp[worker], t.teacherQ, t.teacherK, first, at, rows, h)
	for r := range rows {
		i, n := first+at+r, at+r+1
		row := ds.v[r*t.pads:][:padded(cols)]
		student, teacher := masked(row, n), masked(wanted.v[r*t.pads:][:padded(cols)], n)
		stats, teacherStats := t.stats.v[i*t.stats.row+2*h:][:2], t.teacherStats.v[i*t.teacherStats.row+2*h:][:2]
		ps, pt := t.exps[worker][:len(student)], t.exps[worker][t.pads:][:len(teacher)]
		k := &t.d.isa.train
		k.expScaled(ps, student, stats[0], t.scale)
		k.expScaled(pt, teacher, teacherStats[0], t.scale)
		t.gaps.v[i*t.gaps.row+h] += t.divergence(pt[:n], student, teacher, stats, teacherStats)
		k.combine(student, ps, pt, float32(t.weight*t.scale)/stats[1], float32(-t.weight*t.scale)/teacherStats[1])
	}
	if t.train {
		t.multiply(worker, t.dq.at(first+at, h*t.dim), ds, t.k.at(first, g*t.dim), rows, t.dim, cols, true)
		t.multiply(worker, t.dk.at(first, g*t.dim), ds.turned(), t.q.at(first+at, h*t.dim), cols, t.dim, rows, true)
	}
}

// divergence is Σ p·(ln p - ln q), where p is pt over the teacher's sum: the logarithms
// are scores less their maximum, scaled, less the logarithm of the sum.
func (t *distillMaps) divergence(pt, student, teacher, stats, teacherStats []float32) float32 {
	var kl float64
	for j, p := range pt {
		kl += float64(float64(p) * (float64(teacher[j]-teacherStats[0]) - float64(student[j]-stats[0])))
	}
	scaled := float64(kl * float64(t.scale) / float64(teacherStats[1]))
	return float32(scaled - fp.Log(float64(teacherStats[1])) + fp.Log(float64(stats[1])))
}
