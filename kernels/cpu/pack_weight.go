package cpu

import (
	"encoding/binary"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// packRows is PackWeight under way.
type packRows struct {
	d     *Device
	w     kernels.Weight
	data  []uint8
	scale []float32
	x     matrix
	q     [][]int8 // of each worker: a row
}

var errPacked = fmt.Errorf("a weight that its type in a file cannot hold (float16 ends at %d): %w", quant.MaxFloat16, quant.ErrNotFinite)

// PackWeight implements kernels.TrainDevice.
func (d *Device) PackWeight(w kernels.Weight, x kernels.Floats) {
	wantShape("PackWeight", "x", x, w.Out, w.In)
	wantLen("PackWeight", "w", w.Data, w.Out*w.Type.RowBytes(w.In))
	t := &d.train.pack
	t.d, t.w, t.data, t.x = d, w, view(w.Data), matrixOf(x, false)
	if w.Type.Quantized() {
		wantLen("PackWeight", "w's scales", w.Scale, w.Out)
		t.scale, t.q = view(w.Scale), grown(t.q, d.pool.workers, w.In)
	}
	d.eachRow("PackWeight", w.Out, t, errPacked)
}

func (t *packRows) row(worker, i int) bool {
	size := t.w.Type.RowBytes(t.w.In)
	dst, x := t.data[i*size:][:size], t.x.v[i*t.x.row:][:t.w.In]
	top := t.d.isa.absMaxAny(x)
	if !quant.IsFinite(top) {
		return false
	}
	switch t.w.Type {
	case kernels.Int4:
		q := t.q[worker][:t.w.In]
		quant.WeightRowScaled(q, x, t.scale[i], quant.Int4Min, quant.Int4Max)
		quant.PackInt4(dst, q)
	case kernels.Int8:
		q := signed(dst)[:t.w.In]
		if t.scale[i] == 0 {
			clear(q)
		} else {
			t.d.isa.quantizeAny(q, x, t.scale[i], 0, quant.Int8Max)
		}
		clear(dst[t.w.In:])
	case kernels.Float16:
		h := halves(dst)
		n := len(x) &^ 7
		t.d.isa.store16(h[:n], x[:n])
		store16Generic(h[n:], x[n:])
		clear(h[len(x):])
		return quant.IsFinite(quant.Float16To32(quant.Float16(top)))
	case kernels.BFloat16:
		for j, v := range x {
			binary.LittleEndian.PutUint16(dst[2*j:], quant.BFloat16(v))
		}
		clear(dst[2*len(x):])
		return quant.IsFinite(quant.BFloat16To32(quant.BFloat16(top)))
	case kernels.Float32:
		copy(dst, asBytes(x))
		clear(dst[4*len(x):])
	}
	return true
}

// dequantizeRows is Dequantize under way.
type dequantizeRows struct {
	d     *Device
	x     kernels.Rows
	q     []int8
	scale []float32
	out   matrix
}

// Dequantize implements kernels.TrainDevice.
func (d *Device) Dequantize(out kernels.Floats, x kernels.Rows) {
	wantShape("Dequantize", "out", out, x.N, x.Cols)
	d.train.dequant = dequantizeRows{d, x, view(x.Q), view(x.Scale), matrixOf(out, false)}
	d.eachSpan(x.N, 16, &d.train.dequant)
}

func (t *dequantizeRows) span(_, from, to int) {
	for i := from; i < to; i++ {
		t.d.isa.train.dequantizeAny(t.out.v[i*t.out.row:][:t.x.Cols], t.q[i*t.x.Stride:][:t.x.Cols], t.scale[i])
	}
}
