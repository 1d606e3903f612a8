package cpu

import (
	"math"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// attended makes random queries, keys and what CausalAttention says of them.
func (c *trainCase) attended(rows, heads, kvHeads int, s kernels.Sequences) kernels.Attended {
	a := kernels.Attended{Q: c.floats(rows, heads*s.HeadDim), K: c.floats(rows, kvHeads*s.HeadDim), Stats: c.floats(rows, 2*heads)}
	out := c.floats(rows, heads*s.HeadDim)
	c.d.CausalAttention(out, a.Stats, a.Q, a.K, c.floats(rows, kvHeads*s.HeadDim), s)
	return a
}

// weights64 is CausalAttention's weights in float64: of each token of one sequence, then
// head, those of the tokens up to it.
func weights64(q, k []float64, heads, kvHeads, dim int) (all [][]float64) {
	for i := range len(q) / (heads * dim) {
		for h := range heads {
			p := make([]float64, i+1)
			for j := range p {
				p[j] = dot64(q[(i*heads+h)*dim:][:dim], k[(j*kvHeads+h/(heads/kvHeads))*dim:][:dim]) / math.Sqrt(float64(dim))
			}
			all = append(all, softmax64(p))
		}
	}
	return all
}

func softmax64(x []float64) []float64 {
	p, sum := make([]float64, len(x)), 0.0
	for i, v := range x {
		p[i] = math.Exp(v)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// kl64 is KL(p ‖ q).
func kl64(p, q []float64) (sum float64) {
	for i, v := range p {
		sum += v * math.Log(v/q[i])
	}
	return sum
}

func TestDistillAttention(t *testing.T) {
	for _, s := range []struct {
		heads, kvHeads, dim int
		start               []int32
	}{
		{4, 2, 8, []int32{0, 3, 4, 4, 17}},
		{2, 2, 5, []int32{0, 9}},
		{1, 1, 2, []int32{0, attendRows + 7}}, // several blocks of rows
	} {
		eachTrainCase(t, func(c *trainCase) [][]float32 {
			const weight = 0.25
			n := int(s.start[len(s.start)-1])
			seqs := kernels.Sequences{Start: c.ints(s.start), N: len(s.start) - 1, Longest: n, HeadDim: s.dim}
			student, teacher := c.attended(n, s.heads, s.kvHeads, seqs), c.attended(n, s.heads, s.kvHeads, seqs)
			q, k := wide(dense(student.Q)), wide(dense(student.K))
			tq, tk := wide(dense(teacher.Q)), wide(dense(teacher.K))
			qCols, kCols := s.heads*s.dim, s.kvHeads*s.dim
			gaps64 := func() (all []float64) {
				for i := range seqs.N {
					from, to := int(s.start[i]), int(s.start[i+1])
					want := weights64(tq[from*qCols:to*qCols], tk[from*kCols:to*kCols], s.heads, s.kvHeads, s.dim)
					for j, p := range weights64(q[from*qCols:to*qCols], k[from*kCols:to*kCols], s.heads, s.kvHeads, s.dim) {
						all = append(all, kl64(want[j], p))
					}
				}
				return all
			}
			gaps, dq, dk := c.floats(n, s.heads), c.floats(n, qCols), c.floats(n, kCols)
			wantGaps, wantQ, wantK := wide(dense(gaps)), wide(dense(dq)), wide(dense(dk))
			for i, v := range gaps64() {
				wantGaps[i] += v
			}
			loss := func() (sum float64) {
				for _, v := range gaps64() {
					sum += weight * v
				}
				return sum
			}
			for i, v := range slopes(q, loss) {
				wantQ[i] += v
			}
			for i, v := range slopes(k, loss) {
				wantK[i] += v
			}
			c.d.DistillAttention(kernels.Floats{}, kernels.Floats{}, gaps, student, teacher, seqs, weight)
			c.near("gaps", dense(gaps), wantGaps, trainTolerance)
			c.d.Clear(gaps)
			c.d.DistillAttention(dq, dk, gaps, student, teacher, seqs, weight)
			c.near("gaps alone", dense(gaps), gaps64(), trainTolerance)
			c.near("dq", dense(dq), wantQ, trainTolerance)
			c.near("dk", dense(dk), wantK, trainTolerance)
			return [][]float32{dense(gaps), dense(dq), dense(dk)}
		})
	}
}

func TestDistillHidden(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols, weight = 9, 21, 0.25
		x, teacher, dx, gaps := c.floats(rows, cols), c.floats(rows, cols), c.floats(rows, cols), c.floats(rows, 1)
		clear(view(teacher.Buf)[4*teacher.Stride:][:cols])
		x64, teacher64 := wide(dense(x)), wide(dense(teacher))
		gap := func(i int) (sum float64) {
			want := teacher64[i*cols:][:cols]
			if i == 4 {
				return 0
			}
			for j, v := range x64[i*cols:][:cols] {
				sum += (v - want[j]) * (v - want[j])
			}
			return sum / dot64(want, want)
		}
		wantGaps, want := wide(dense(gaps)), wide(dense(dx))
		for i := range rows {
			wantGaps[i] += gap(i)
			for j, v := range slopes(x64[i*cols:][:cols], func() float64 { return weight * gap(i) }) {
				want[i*cols+j] += v
			}
		}
		c.d.DistillHidden(kernels.Floats{}, gaps, x, teacher, weight)
		c.near("gaps", dense(gaps), wantGaps, trainTolerance)
		c.d.DistillHidden(dx, gaps, x, teacher, weight)
		c.near("dx", dense(dx), want, trainTolerance)
		return [][]float32{dense(gaps), dense(dx)}
	})
}
