package cpu

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// wantShape panics unless f is [rows, cols].
func wantShape(op, name string, f kernels.Floats, rows, cols int) {
	if f.Rows != rows || f.Cols != cols {
		panic(fmt.Sprintf("cpu: %s: %s is [%d, %d], want [%d, %d]", op, name, f.Rows, f.Cols, rows, cols))
	}
}

// wantLen panics unless b has n elements.
func wantLen[T kernels.Elem](op, name string, b kernels.Buf[T], n int) {
	if b.N != n {
		panic(fmt.Sprintf("cpu: %s: %s has %d elements, want %d", op, name, b.N, n))
	}
}

// fakeRows is FakeQuantize and FakeQuantizeWeight under way.
type fakeRows struct {
	d          *Device
	out, x     matrix
	cols, size int // of a row, of a group
	bits       int
	step       []float32 // of weights
	q          [][]int8
}

func (t *fakeRows) set(d *Device, out, x kernels.Floats, size, bits int) {
	t.d, t.out, t.x, t.cols, t.size, t.bits = d, matrixOf(out, false), matrixOf(x, false), x.Cols, size, bits
	t.q = grown(t.q, d.pool.workers, size)
}

// FakeQuantize implements kernels.TrainDevice.
func (d *Device) FakeQuantize(out, x kernels.Floats, groups, bits int) {
	wantShape("FakeQuantize", "out", out, x.Rows, x.Cols)
	if groups < 1 || x.Cols%groups != 0 {
		panic(fmt.Sprintf("cpu: FakeQuantize: %d columns in %d groups", x.Cols, groups))
	}
	t := &d.train.fakeRows
	t.set(d, out, x, x.Cols/groups, bits)
	t.step = nil
	d.eachRow("FakeQuantize", x.Rows, t, quant.ErrNotFinite)
}

// FakeQuantizeWeight implements kernels.TrainDevice.
func (d *Device) FakeQuantizeWeight(out, w kernels.Floats, step kernels.Buf[float32], bits int) {
	wantShape("FakeQuantizeWeight", "out", out, w.Rows, w.Cols)
	wantLen("FakeQuantizeWeight", "step", step, w.Rows)
	t := &d.train.fakeRows
	t.set(d, out, w, w.Cols, bits)
	t.step = view(step)
	d.eachRow("FakeQuantizeWeight", w.Rows, t, quant.ErrNotFinite)
}

func (t *fakeRows) row(worker, i int) bool {
	x, y := t.x.v[i*t.x.row:][:t.cols], t.out.v[i*t.out.row:][:t.cols]
	if t.bits == 16 {
		copy(y, x)
		return true
	}
	for g := 0; g < t.cols; g += t.size {
		if !t.group(worker, i, y[g:g+t.size], x[g:g+t.size]) {
			return false
		}
	}
	return true
}

// group does a group of row i.
func (t *fakeRows) group(worker, i int, y, x []float32) bool {
	k := &t.d.isa.rowKernels
	m := k.absMaxAny(x)
	if !quant.IsFinite(m) {
		return false
	}
	q := t.q[worker][:t.size]
	scale, qmax := float32(0), float32(0)
	switch {
	case t.step == nil:
		qmax = quant.ActivationMax(t.bits)
		scale = m / qmax
	default:
		scale = t.step[i]
		lo, hi := quant.WeightRange(t.bits)
		if lo != -hi { // -8 exists: the kernel's range is symmetric
			quant.WeightRowScaled(q, x, scale, lo, hi)
			t.d.isa.train.dequantizeAny(y, q, scale)
			return true
		}
		qmax = float32(hi)
	}
	if scale == 0 {
		clear(y)
		return true
	}
	k.quantizeAny(q, x, scale, 0, qmax)
	t.d.isa.train.dequantizeAny(y, q, scale)
	return true
}

// stepRows is WeightSteps under way.
type stepRows struct {
	d    *Device
	w    matrix
	cols int
	step []float32
	hi   float32
}

// WeightSteps implements kernels.TrainDevice.
func (d *Device) WeightSteps(step kernels.Buf[float32], w kernels.Floats, bits int) {
	wantLen("WeightSteps", "step", step, w.Rows)
	_, hi := quant.WeightRange(bits)
	t := &d.train.stepRows
	t.d, t.w, t.cols, t.step, t.hi = d, matrixOf(w, false), w.Cols, view(step), float32(hi)
	d.eachRow("WeightSteps", w.Rows, t, quant.ErrNotFinite)
}

func (t *stepRows) row(_, i int) bool {
	m := t.d.isa.absMaxAny(t.w.v[i*t.w.row:][:t.cols])
	t.step[i] = m / t.hi
	return quant.IsFinite(m)
}

// stepGradRows is FakeQuantizeWeightGrad under way.
type stepGradRows struct {
	dw, w        matrix
	cols         int
	step, dstep  []float32
	lo, hi, norm float32
}

// FakeQuantizeWeightGrad implements kernels.TrainDevice.
func (d *Device) FakeQuantizeWeightGrad(dw kernels.Floats, dstep kernels.Buf[float32], w kernels.Floats, step kernels.Buf[float32], bits int) {
	wantShape("FakeQuantizeWeightGrad", "dw", dw, w.Rows, w.Cols)
	wantLen("FakeQuantizeWeightGrad", "step", step, w.Rows)
	wantLen("FakeQuantizeWeightGrad", "dstep", dstep, w.Rows)
	lo, hi := quant.WeightRange(bits)
	d.train.stepGrad = stepGradRows{
		dw: matrixOf(dw, false), w: matrixOf(w, false), cols: w.Cols, step: view(step), dstep: view(dstep), lo: float32(lo), hi: float32(hi),
		norm: float32(1 / math.Sqrt(float64(w.Cols)*float64(hi))),
	}
	d.eachSpan(w.Rows, 1, &d.train.stepGrad)
}

func (t *stepGradRows) span(_, from, to int) {
	for i := from; i < to; i++ {
		w, g := t.w.v[i*t.w.row:][:t.cols], t.dw.v[i*t.dw.row:][:t.cols]
		var sum float32
		for j, x := range w {
			v := float32(0)
			if t.step[i] > 0 {
				v = x / t.step[i]
			}
			slope := t.lo
			switch {
			case v > t.hi:
				slope = t.hi
			case v >= t.lo:
				sum += float32(g[j] * (float32(math.RoundToEven(float64(v))) - v))
				continue
			}
			sum += float32(g[j] * slope)
			g[j] = 0
		}
		t.dstep[i] = float32(sum * t.norm)
	}
}

// fakeKVRows is FakeQuantizeKV under way.
type fakeKVRows struct {
	x      matrix
	format quant.KV
	groups int
	heads  int // of a group
	dim    int
	packed [][]uint8
}

var errKVRange = fmt.Errorf("a value that the KV cache's format cannot hold, |x| above %v: %w", float64(quant.MaxFloat16), quant.ErrNotFinite)

// FakeQuantizeKV implements kernels.TrainDevice.
func (d *Device) FakeQuantizeKV(x kernels.Floats, format quant.KV, kvHeads int) {
	if x.Cols%kvHeads != 0 {
		panic(fmt.Sprintf("cpu: FakeQuantizeKV: %d columns of %d heads", x.Cols, kvHeads))
	}
	if !format.Quantized() {
		return
	}
	t := &d.train.fakeKV
	t.x, t.format, t.groups, t.dim = matrixOf(x, false), format, format.Groups(kvHeads), x.Cols/kvHeads
	t.heads = kvHeads / t.groups
	for len(t.packed) < d.pool.workers {
		t.packed = append(t.packed, make([]uint8, 256))
	}
	d.eachRow("FakeQuantizeKV", x.Rows, t, errKVRange)
}

func (t *fakeKVRows) row(worker, i int) bool {
	for g := range t.groups {
		x := t.x.v[i*t.x.row+g*t.heads*t.dim:][:t.heads*t.dim]
		scale, zero, ok := t.format.KVScale(quant.MinMax(x))
		if !ok {
			return false
		}
		for h := range t.heads {
			v := x[h*t.dim:][:t.dim]
			packed := t.packed[worker][:t.format.VectorBytes(t.dim)]
			t.format.KVStore(packed, v, scale, zero)
			t.format.KVLoad(v, packed, scale, zero)
		}
	}
	return true
}
