package cpu

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// attendRows is how many rows of scores are computed at a time: a multiple of
// matmulRows for which packing keys costs little.
const attendRows = 96

// trainAttention is CausalAttention or its gradient under way. A row of the task is
// one head of one sequence: a query's, or for the gradient, where the queries of a
// group add to the same keys, a key's.
type trainAttention struct {
	d                         *Device
	q, k, v, out, stats       matrix
	dq, dk, dv, dout          matrix
	start                     []int32
	dim, heads, kvHeads, pads int // pads: columns of scores
	scale                     float32
	back                      bool
	scratch                   []*matmulScratch
	p, dp                     [][]float32 // of each worker: scores, then weights [attendRows, pads], and their gradient
}

// CausalAttention implements kernels.TrainDevice.
func (d *Device) CausalAttention(out, stats, q, k, v kernels.Floats, s kernels.Sequences) {
	t := d.attend("CausalAttention", stats, q, k, s)
	wantShape("CausalAttention", "v", v, k.Rows, k.Cols)
	t.back, t.v, t.out = false, matrixOf(v, false), matrix{}
	if out.Rows > 0 {
		wantShape("CausalAttention", "out", out, q.Rows, q.Cols)
		t.out = matrixOf(out, false)
	}
	d.eachSpan(s.N*t.heads, 1, t)
}

// CausalAttentionGrad implements kernels.TrainDevice.
func (d *Device) CausalAttentionGrad(dq, dk, dv, dout, stats, q, k, v kernels.Floats, s kernels.Sequences) {
	t := d.attend("CausalAttentionGrad", stats, q, k, s)
	wantShape("CausalAttentionGrad", "v", v, k.Rows, k.Cols)
	wantShape("CausalAttentionGrad", "dq", dq, q.Rows, q.Cols)
	wantShape("CausalAttentionGrad", "dout", dout, q.Rows, q.Cols)
	wantShape("CausalAttentionGrad", "dk", dk, k.Rows, k.Cols)
	wantShape("CausalAttentionGrad", "dv", dv, k.Rows, k.Cols)
	t.back, t.v = true, matrixOf(v, false)
	t.dq, t.dk, t.dv, t.dout = matrixOf(dq, false), matrixOf(dk, false), matrixOf(dv, false), matrixOf(dout, false)
	d.eachSpan(s.N*t.kvHeads, 1, t)
}

// attend checks what they have in common and makes the task ready.
func (d *Device) attend(op string, stats, q, k kernels.Floats, s kernels.Sequences) *trainAttention {
	t := &d.train.attend
	t.d, t.dim = d, s.HeadDim
	if s.HeadDim <= 0 || q.Cols%s.HeadDim != 0 || k.Cols%s.HeadDim != 0 || k.Cols == 0 || q.Cols%k.Cols != 0 {
		panic(fmt.Sprintf("cpu: %s: q has %d columns, k %d, heads %d", op, q.Cols, k.Cols, s.HeadDim))
	}
	t.heads, t.kvHeads = q.Cols/t.dim, k.Cols/t.dim
	wantShape(op, "k", k, q.Rows, k.Cols)
	wantShape(op, "stats", stats, q.Rows, 2*t.heads)
	wantLen(op, "start", s.Start, s.N+1)
	t.start = view(s.Start)
	for i := range s.N {
		if n := t.start[i+1] - t.start[i]; n < 0 || int(n) > s.Longest || t.start[i] < 0 || int(t.start[i+1]) > q.Rows {
			panic(fmt.Sprintf("cpu: %s: sequence %d is tokens %d to %d of %d, at most %d long", op, i, t.start[i], t.start[i+1], q.Rows, s.Longest))
		}
	}
	t.q, t.k, t.stats = matrixOf(q, false), matrixOf(k, false), matrixOf(stats, false)
	t.scale = float32(1 / math.Sqrt(float64(t.dim)))
	t.pads = quant.Align(s.Longest)
	for len(t.scratch) < d.pool.workers {
		t.scratch = append(t.scratch, new(matmulScratch))
	}
	t.p, t.dp = grown(t.p, d.pool.workers, attendRows*t.pads), grown(t.dp, d.pool.workers, attendRows*t.pads)
	return t
}

func (t *trainAttention) span(worker, from, to int) {
	for i := from; i < to; i++ {
		if t.back {
			s, g := i/t.kvHeads, i%t.kvHeads
			t.gradient(worker, int(t.start[s]), int(t.start[s+1]), g)
			continue
		}
		s, h := i/t.heads, i%t.heads
		t.forward(worker, int(t.start[s]), int(t.start[s+1]), h)
	}
}

// at is the part of x from row i and column j on.
func (x matrix) at(i, j int) matrix { return matrix{x.v[i*x.row+j*x.col:], x.row, x.col} }

// turned is x transposed.
func (x matrix) turned() matrix { return matrix{x.v, x.col, x.row} }

// multiply is matmulKernels.multiply for any number of columns.
func (t *trainAttention) multiply(worker int, c, a, b matrix, m, n, k int, add bool) {
	const most = matmulPanels * matmulCols
	for j := 0; j < n; j += most {
		t.d.isa.matmul.multiply(t.scratch[worker], c.at(0, j), a, b.at(0, j), m, min(most, n-j), k, add)
	}
}

// weights sets the worker's p [rows, cols] to the softmax of head h's rows i.. of the
// sequence from token first on, 0 past each row's own token, and stats to their maxima
// and sums.
func (t *trainAttention) weights(worker, first, i, rows, h int) matrix {
	cols := i + rows
	p := t.scores(worker, t.p[worker], t.q, t.k, first, i, rows, h)
	k := &t.d.isa.train
	for r := range rows {
		row, stats := p.v[r*t.pads:][:padded(cols)], t.stats.v[(first+i+r)*t.stats.row+2*h:][:2]
		n := i + r + 1
		whole := masked(row, n)
		_, stats[0] = t.d.isa.minMaxAny(row[:n])
		stats[1] = k.expScaled(whole, whole, stats[0], t.scale)
		k.combine(whole, whole, whole, 1/stats[1], 0)
	}
	return p
}

// scores sets p to q·kᵀ of head h's rows i.. of the sequence from token first on.
func (t *trainAttention) scores(worker int, p []float32, q, k matrix, first, i, rows, h int) matrix {
	s, g := matrix{p, t.pads, 1}, h/(t.heads/t.kvHeads)
	t.multiply(worker, s, q.at(first+i, h*t.dim), k.at(first, g*t.dim).turned(), rows, i+rows, t.dim, false)
	return s
}

// masked returns the first n of a row of scores, padded by some that weigh 0; what
// comes after them becomes 0.
func masked(row []float32, n int) []float32 {
	whole := row[:padded(n)]
	for j := n; j < len(whole); j++ {
		whole[j] = negInf
	}
	clear(row[len(whole):])
	return whole
}

func (t *trainAttention) forward(worker, first, end, h int) {
	g := h / (t.heads / t.kvHeads)
	for i := 0; i < end-first; i += attendRows {
		rows := min(attendRows, end-first-i)
		p := t.weights(worker, first, i, rows, h)
		if t.out.v == nil {
			continue
		}
		t.multiply(worker, t.out.at(first+i, h*t.dim), p, t.v.at(first, g*t.dim), rows, t.dim, i+rows, false)
	}
}

// gradient does key head g: with weights P and dP = dO·Vᵀ, dS = P∘(dP - ΣP∘dP)·scale,
// dQ = dS·K, dK = Σ dSᵀ·Q and dV = Σ Pᵀ·dO over its query heads.
func (t *trainAttention) gradient(worker, first, end, g int) {
	dk, dv := t.dk.at(first, g*t.dim), t.dv.at(first, g*t.dim)
	for i := range end - first {
		clear(dk.v[i*dk.row:][:t.dim])
		clear(dv.v[i*dv.row:][:t.dim])
	}
	group := t.heads / t.kvHeads
	kernels := &t.d.isa.train
	for h := g * group; h < (g+1)*group; h++ {
		for i := 0; i < end-first; i += attendRows {
			rows := min(attendRows, end-first-i)
			cols := i + rows
			p := t.weights(worker, first, i, rows, h)
			dout := t.dout.at(first+i, h*t.dim)
			t.multiply(worker, dv, p.turned(), dout, cols, t.dim, rows, true)

			ds := matrix{t.dp[worker], t.pads, 1}
			t.multiply(worker, ds, dout, t.v.at(first, g*t.dim).turned(), rows, cols, t.dim, false)
			for r := range rows {
				w, d := p.v[r*t.pads:][:padded(cols)], ds.v[r*t.pads:][:padded(cols)]
				clear(d[cols:])
				kernels.softmaxGrad(d, w, d, kernels.products(w, d), t.scale)
			}
			t.multiply(worker, t.dq.at(first+i, h*t.dim), ds, t.k.at(first, g*t.dim), rows, t.dim, cols, false)
			t.multiply(worker, dk, ds.turned(), t.q.at(first+i, h*t.dim), cols, t.dim, rows, true)
		}
	}
}
