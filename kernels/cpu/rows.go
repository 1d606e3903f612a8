package cpu

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// rowKernels are the inner loops of operators on single rows. Lengths are
// multiples of 8, and slices of one call are equally long.
type rowKernels struct {
	// absMax returns quant.AbsMax(x).
	absMax func(x []float32) float32

	// minMax returns the smallest and largest value of x; a NaN in x is one of them.
	minMax func(x []float32) (lo, hi float32)

	// quantize sets q to clamp(round((x-zero)/scale), -qmax, qmax) and returns Σq.
	// x is finite and scale > 0.
	quantize func(q []int8, x []float32, scale, zero, qmax float32) int32

	// normalize sets y to float32(x·r)·w.
	normalize func(y, x, w []float32, r float32)

	// swiglu sets y to fp.SiLU(gate)·up.
	swiglu func(y, gate, up []float32)

	// rotate sets y to x, one head's vector, rotated: with the halves a and b of
	// x, a·cos - b·sin and b·cos + a·sin, each product rounded. y may be x. The
	// length of cos, half of x's, is a multiple of 8.
	rotate func(y, x, cos, sin []float32)
}

var rowGeneric = rowKernels{
	absMax:    quant.AbsMax,
	minMax:    minMaxGeneric,
	quantize:  quantizeGeneric,
	normalize: normalizeGeneric,
	swiglu:    swigluGeneric,
	rotate:    rotateGeneric,
}

// rowOp is an operator whose rows do not depend on each other.
type rowOp interface {
	// row does row i. It returns false where the row holds numbers that the
	// operator cannot take.
	row(worker, i int) bool
}

// rowsTask runs a rowOp. It holds the operators' arguments, so that a call
// allocates nothing.
type rowsTask struct {
	op     rowOp
	n, per int          // rows, and rows a chunk
	bad    atomic.Int64 // n - i for the first row i that failed; 0 if none did

	norm   normRows
	quant  quantizeRows
	swiglu swigluRows
	gather gatherRows
	append appendRows
}

// maxRows bounds the rows of a chunk.
const maxRows = 16

// eachRow runs op over n rows. The first row that fails becomes the device's
// error: name, the row and why.
func (d *Device) eachRow(name string, n int, op rowOp, why error) {
	t := &d.rows
	t.op, t.n = op, n
	t.per = min(max(n/(4*d.pool.workers), 1), maxRows)
	t.bad.Store(0)
	d.run((n+t.per-1)/t.per, t)
	if bad := t.bad.Load(); bad != 0 {
		d.fail(fmt.Errorf("cpu: %s: row %d: %w", name, int64(n)-bad, why))
	}
}

func (t *rowsTask) run(worker, chunk int) {
	for i := chunk * t.per; i < min(chunk*t.per+t.per, t.n); i++ {
		if t.op.row(worker, i) {
			continue
		}
		for v := int64(t.n - i); ; {
			old := t.bad.Load()
			if old >= v || t.bad.CompareAndSwap(old, v) {
				break
			}
		}
	}
}

// outRows are kernels.Rows that an operator fills: it computes each row as floats
// and stores them in the rows' format.
type outRows struct {
	k            *rowKernels
	bits         int
	qmax         float32
	cols, stride int
	q            []int8
	scale        []float32
	sum          []int32
	f            []float32
	scratch      [][]float32 // a row of floats for each worker
}

// set makes r the rows to fill.
func (o *outRows) set(d *Device, r kernels.Rows) {
	o.k, o.bits, o.cols, o.stride = &d.isa.rowKernels, r.Bits, r.Cols, r.Stride
	if r.Bits == 16 {
		o.f = view(r.F.Buf)
		return
	}
	o.qmax = quant.ActivationMax(r.Bits)
	o.q, o.scale, o.sum = view(r.Q), view(r.Scale), view(r.Sum)
	o.scratch = grown(o.scratch, d.pool.workers, r.Cols)
}

// floats returns where row i is to be computed, [cols].
func (o *outRows) floats(worker, i int) []float32 {
	if o.bits == 16 {
		return o.f[i*o.stride:][:o.cols]
	}
	return o.scratch[worker][:o.cols]
}

// store stores y as row i, and zeros behind it; y is the row's floats or other
// memory. It returns false, and stores no NaN or infinity in a quantized row,
// where y has one.
func (o *outRows) store(i int, y []float32) bool {
	m := o.k.absMaxAny(y)
	finite := quant.IsFinite(m)
	if o.bits == 16 {
		f := o.f[i*o.stride:][:o.stride]
		copy(f, y)
		clear(f[o.cols:])
		return finite
	}
	q := o.q[i*o.stride:][:o.stride]
	o.scale[i], o.sum[i] = 0, 0
	scale := m / o.qmax
	if !finite || scale == 0 {
		clear(q)
		return finite
	}
	o.scale[i] = scale
	o.sum[i] = o.k.quantizeAny(q[:o.cols], y, scale, 0, o.qmax)
	clear(q[o.cols:])
	return true
}

// grown returns s with n rows of at least size elements.
func grown[T kernels.Elem](s [][]T, n, size int) [][]T {
	for len(s) < n {
		s = append(s, nil)
	}
	for i := range s {
		if len(s[i]) < size {
			s[i] = make([]T, quant.Align(size))
		}
	}
	return s
}

// The methods below take any length: what the kernels leave, the definition does.

func (k *rowKernels) absMaxAny(x []float32) float32 {
	n := len(x) &^ 7
	m := math.Float32bits(quant.AbsMax(x[n:]))
	return math.Float32frombits(max(m, math.Float32bits(k.absMax(x[:n]))))
}

func (k *rowKernels) quantizeAny(q []int8, x []float32, scale, zero, qmax float32) int32 {
	n := len(x) &^ 7
	return k.quantize(q[:n], x[:n], scale, zero, qmax) + quantizeGeneric(q[n:], x[n:], scale, zero, qmax)
}

func (k *rowKernels) normalizeAny(y, x, w []float32, r float32) {
	n := len(x) &^ 7
	k.normalize(y[:n], x[:n], w[:n], r)
	normalizeGeneric(y[n:], x[n:], w[n:], r)
}

func (k *rowKernels) swigluAny(y, gate, up []float32) {
	n := len(y) &^ 7
	k.swiglu(y[:n], gate[:n], up[:n])
	swigluGeneric(y[n:], gate[n:], up[n:])
}

func (k *rowKernels) rotateAny(y, x, cos, sin []float32) {
	if len(cos)%8 != 0 {
		rotateGeneric(y, x, cos, sin)
		return
	}
	k.rotate(y, x, cos, sin)
}

// minMaxAny returns a NaN, at least one, where x holds one.
func (k *rowKernels) minMaxAny(x []float32) (lo, hi float32) {
	n := len(x) &^ 7
	if n == 0 {
		return minMaxGeneric(x)
	}
	lo, hi = k.minMax(x[:n])
	for _, v := range x[n:] {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}
