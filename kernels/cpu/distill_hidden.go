package cpu

import "github.com/llmqat/llmqat/kernels"

// distillHidden is DistillHidden under way.
type distillHidden struct {
	k                 *trainKernels
	dx, gaps, x, want matrix
	cols              int
	weight            float32
	train             bool
	diff              [][]float32 // of each worker: x - teacher
}

// DistillHidden implements kernels.TrainDevice.
func (d *Device) DistillHidden(dx, gaps, x, teacher kernels.Floats, weight float32) {
	wantShape("DistillHidden", "teacher", teacher, x.Rows, x.Cols)
	wantShape("DistillHidden", "gaps", gaps, x.Rows, 1)
	t := &d.train.hidden
	if t.train = dx.Rows > 0; t.train {
		wantShape("DistillHidden", "dx", dx, x.Rows, x.Cols)
		t.dx = matrixOf(dx, false)
	}
	t.k, t.gaps, t.x, t.want = &d.isa.train, matrixOf(gaps, false), matrixOf(x, false), matrixOf(teacher, false)
	t.cols, t.weight = x.Cols, weight
	t.diff = grown(t.diff, d.pool.workers, t.cols)
	d.eachSpan(x.Rows, 4, t)
}

// span does rows. The gradient of Σ(x-t)²/Σt² is 2·(x-t)/Σt².
func (t *distillHidden) span(worker, from, to int) {
	for i := from; i < to; i++ {
		diff, want := t.diff[worker][:t.cols], t.want.v[i*t.want.row:][:t.cols]
		for j, v := range t.x.v[i*t.x.row:][:t.cols] {
			diff[j] = v - want[j]
		}
		square := t.k.productsAny(want, want)
		if square == 0 {
			continue
		}
		t.gaps.v[i*t.gaps.row] += t.k.productsAny(diff, diff) / square
		if t.train {
			dx, n, scale := t.dx.v[i*t.dx.row:][:t.cols], t.cols&^7, 2*t.weight/square
			t.k.combine(dx[:n], diff[:n], dx[:n], scale, 1)
			combineGeneric(dx[n:], diff[n:], dx[n:], scale, 1)
		}
	}
}
