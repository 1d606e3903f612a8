package cpu

import (
	"cmp"
	"math"
	"slices"
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
			for i, v := range c.slopes(q, loss) {
				wantQ[i] += v
			}
			for i, v := range c.slopes(k, loss) {
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
			for j, v := range c.slopes(x64[i*cols:][:cols], func() float64 { return weight * gap(i) }) {
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

// topK64 is what a teacher of these logits knows of its k likeliest tokens: ids, and the
// logarithms of their probabilities and of the others'.
func topK64(logits []float64, k int) (ids []int32, ln []float64) {
	p := softmax64(logits)
	for i := range logits {
		ids = append(ids, int32(i))
	}
	slices.SortFunc(ids, func(a, b int32) int { return cmp.Compare(p[b], p[a]) })
	rest := 0.0
	for _, id := range ids[k:] {
		rest += p[id]
	}
	for _, id := range ids[:k] {
		ln = append(ln, math.Log(p[id]))
	}
	return ids[:k], append(ln, math.Log(rest))
}

func TestDistillTopK(t *testing.T) {
	for _, soft := range []float32{1, 0.25} {
		for _, k := range []int{1, 4, 20, 21} {
			eachTrainCase(t, func(c *trainCase) [][]float32 {
				const rows, vocab, weight = 6, 21, 0.125
				s, teacher, grad, stats := c.floats(rows, vocab), c.floats(rows, vocab), c.floats(rows, vocab), c.floats(rows, 4)
				targets := []int32{3, -1, 20, 0, 7, 5}
				// The student of row 4 gives what is not the teacher's likeliest token next to nothing.
				best := slices.Index(dense(teacher)[4*vocab:][:vocab], slices.Max(dense(teacher)[4*vocab:][:vocab]))
				view(s.Buf)[4*s.Stride+best] += 200
				s64, t64 := wide(dense(s)), wide(dense(teacher))
				known, ids := c.floats(rows, k+1), []int32(nil)
				for i := range rows {
					list, ln := topK64(t64[i*vocab:][:vocab], k)
					ids = append(ids, list...)
					for j, v := range ln {
						view(known.Buf)[i*known.Stride+j] = float32(v)
					}
				}
				// lse is ln Σ exp(x) over the tokens that take says.
				lse := func(x []float64, take func(j int) bool) float64 {
					top, sum := math.Inf(-1), 0.0
					for j, v := range x {
						if take(j) {
							top = max(top, v)
						}
					}
					for j, v := range x {
						if take(j) {
							sum += math.Exp(v - top)
						}
					}
					return top + math.Log(sum)
				}
				row := func(i int) (kl, ce float64) {
					x, list := s64[i*vocab:][:vocab], ids[i*k:][:k]
					_, ln := topK64(t64[i*vocab:][:vocab], k)
					all := lse(x, func(int) bool { return true })
					for j, id := range list {
						kl += math.Exp(ln[j]) * (ln[j] - (x[id] - all))
					}
					if k < vocab {
						rest := lse(x, func(j int) bool { return !slices.Contains(list, int32(j)) })
						kl += math.Exp(ln[k]) * (ln[k] - (rest - all))
					}
					return kl, all - x[targets[i]]
				}
				want := c.slopes(s64, func() (sum float64) {
					for i, target := range targets {
						if target >= 0 {
							kl, ce := row(i)
							sum += weight * (float64(soft)*kl + (1-float64(soft))*ce)
						}
					}
					return sum
				})
				var wantStats []float64
				for i, target := range targets {
					if target < 0 {
						wantStats = append(wantStats, 0, 0, 0, 0)
						continue
					}
					kl, ce := row(i)
					of := slices.Index(ids[i*k:][:k], target)
					if of < 0 {
						of = k
					}
					x := s64[i*vocab:][:vocab]
					same := 0.0
					if slices.Index(x, slices.Max(x)) == int(ids[i*k]) {
						same = 1
					}
					wantStats = append(wantStats, kl, ce, -float64(dense(known)[i*(k+1)+of]), same)
				}
				c.d.DistillTopK(grad, stats, s, known, c.ints(ids), c.ints(targets), soft, weight)
				c.near("dLogits", dense(grad), want, trainTolerance)
				c.near("stats", dense(stats), wantStats, trainTolerance)
				if k == vocab { // all is known: it is Distill
					same, sameStats := c.floats(rows, vocab), c.floats(rows, 4)
					c.d.Distill(same, sameStats, s, teacher, c.ints(targets), soft, weight)
					c.near("dLogits of Distill", dense(grad), wide(dense(same)), 1e-6)
					c.near("stats of Distill", dense(stats), wide(dense(sameStats)), 1e-6)
				}
				c.d.DistillTopK(s, stats, s, known, c.ints(ids), c.ints(targets), soft, weight) // dLogits may be logits
				if !slices.Equal(dense(s), dense(grad)) {
					t.Error("in place, dLogits differ")
				}
				return [][]float32{dense(grad), dense(stats)}
			})
		}
	}
}
