package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels"
)

// PagedAttention implements kernels.Device. A query at position p sees positions
// 0..p, in splits of splitTokens positions; within a split
//
//	score = q·k/√HeadDim      integers where both are, else fp.Dot with k as
//	                          quant.KV.KVLoad gives it, rotated if need be
//	m, e, l = max, exp(score-m), Σe
//	w = e·scale               scale and zero are those of the value's group, 1 and 0
//	o = Σ w·v + Σ e·zero      where v, as stored, are floats
//	u = max(w)/weightMax      unless max(w) < weightTiny: then 0
//	o = Σ round(w/u)·v·u + Σ e·zero   where v are integers, as is the first sum
//
// and splits are merged from m = -∞, l = 0, o = 0, in order, each by
//
//	M = max(m, m'), a, b = exp(m-M), exp(m'-M)
//	l = l·a + l'·b, o = o·a + o'·b
//
// with one FMA each; the result is o/l, without negative zeros. Which tokens share
// a batch, a page, a thread or a pass has no part in it.
func (d *Device) PagedAttention(out kernels.Floats, q kernels.Rows, kv kernels.KVCache, b *kernels.Batch, rope kernels.RoPE) {
	heads := kernels.CheckPagedAttention("cpu: PagedAttention", out, q, kv, b, rope)
	t := &d.attention
	t.k, t.rows = &d.isa.attentionKernels, &d.isa.rowKernels
	t.cache.set(kv)
	t.rope.set(rope)
	t.heads, t.group = heads, heads/kv.KVHeads
	t.dim = (kv.HeadDim + dimAlign - 1) / dimAlign * dimAlign
	t.half = kv.HeadDim / 2
	if kv.Bits == 4 { // its padding parts the halves: low nibbles, high nibbles
		t.half = t.dim / 2
	}
	t.scale = 1 / float32(math.Sqrt(float64(kv.HeadDim)))
	t.out, t.outStride = view(out.Buf), out.Stride
	t.bits, t.qStride = q.Bits, q.Stride
	if q.Bits == 16 {
		t.qFloats = view(q.F.Buf)
	} else {
		t.qInts, t.qScale, t.qSum = view(q.Q), view(q.Scale), view(q.Sum)
	}
	t.plan(b, d.pool.workers)
	for t.next() {
		t.merging = false
		d.run(len(t.units), t)
		t.merging = true
		d.run(len(t.merges), t)
		t.units = t.units[:0]
	}
}

// attentionTask is one call's arguments, its plan, and the workers' memory, which
// is kept.
type attentionTask struct {
	k     *attentionKernels
	rows  *rowKernels
	cache cache
	rope  ropeTable

	heads, group  int // query heads, and those that share a KV head
	dim           int // HeadDim, padded, in scratch memory
	half          int // where integers' second half stands there
	scale         float32
	out           []float32
	outStride     int
	bits, qStride int
	qFloats       []float32
	qInts         []int8
	qScale        []float32
	qSum          []int32

	units   []attentionUnit
	long    []attentionUnit // tiles that several units do in part
	limit   int             // of such a unit, rows·splits
	started int             // how many of them have been units
	merges  []attentionUnit // those of them that are units now
	merging bool
	parts   []float32 // their partials
	room    int       // floats in parts, unless one tile has more
	scratch []*attentionScratch
}

func (t *attentionTask) run(worker, i int) {
	s := t.scratch[worker]
	if t.merging {
		t.mergeParts(s, &t.merges[i])
		return
	}
	t.attend(s, &t.units[i])
}

// partial is what rows saw of a split, or of all splits so far: maximum, sum, the
// values' correction, and the values.
type partial struct {
	m, l, c []float32 // [rows, padded to eight]
	o       []float32 // [rows, dim]
}

// partialOf lays a partial of rows out in memory of partialSize floats.
func (t *attentionTask) partialOf(x []float32, rows int) partial {
	n := eights(rows)
	return partial{x[:n], x[n:][:n], x[2*n:][:n], x[3*n:][:rows*t.dim]}
}

func (t *attentionTask) partialSize(rows int) int { return 3*eights(rows) + rows*t.dim }

func eights(n int) int { return (n + 7) &^ 7 }

// reset forgets everything.
func (x *partial) reset() {
	fill(x.m, float32(math.Inf(-1)))
	clear(x.l)
	clear(x.o)
}

// merge adds a split to what rows, from the first that sees any of it, saw before.
func (t *attentionTask) merge(s *attentionScratch, x, split *partial, first int) {
	a, b := s.before[:len(x.m)], s.after[:len(x.m)]
	t.k.rescale(x.m, x.l, split.m, split.l, a, b)
	for r := first; r < len(x.o)/t.dim; r++ {
		t.k.merge(x.o[r*t.dim:][:t.dim], split.o[r*t.dim:][:t.dim], a[r], b[r], split.c[r])
	}
}

// store writes the rows' results. Row r is head r mod group of token r / group.
func (t *attentionTask) store(u *attentionUnit, x *partial) {
	for r, l := range x.l[:u.rows(t.group)] {
		at := (u.token+r/t.group)*t.outStride + (u.head*t.group+r%t.group)*t.cache.dim
		o, half := x.o[r*t.dim:][:t.dim], t.cache.dim/2
		t.quotient(t.out[at:][:half], o, l)
		t.quotient(t.out[at+half:][:half], o[t.half:], l)
	}
}

// quotient sets out to the first of o, divided by l.
func (t *attentionTask) quotient(out, o []float32, l float32) {
	n := len(out) &^ 7
	t.k.divide(out[:n], o[:n], l)
	divideGeneric(out[n:], o[n:len(out)], l)
}

// queries copies the tile's queries to q or f [rows, dim], and what goes with them to a.
func (t *attentionTask) queries(s *attentionScratch, u *attentionUnit) {
	bias := int32(0)
	if t.cache.Bits == 4 {
		bias = -int32(t.cache.NibbleOffset())
	}
	for r := range u.rows(t.group) {
		i := (u.token+r/t.group)*t.heads + u.head*t.group + r%t.group
		if t.bits == 16 {
			copy(s.f[r*t.dim:][:t.dim], t.qFloats[i*t.qStride:][:t.cache.dim])
			continue
		}
		q, half := t.qInts[i*t.qStride:][:t.cache.dim], t.cache.dim/2
		copy(s.q[r*t.dim:], q[:half])
		copy(s.q[r*t.dim+t.half:], q[half:])
		s.a[r] = intQuery{
			queryBias:  float32(bias * t.qSum[i]),
			querySum:   float32(t.qSum[i]),
			queryScale: t.qScale[i] * t.scale,
		}
	}
}
