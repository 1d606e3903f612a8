package cpu

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
)

// rotateRows is Rotate under way.
type rotateRows struct {
	k         *rowKernels
	x         matrix
	heads     int
	dim       int
	positions []int32
	cos, sin  []float32
	back      bool
	minus     [][]float32 // -sin, of each worker
}

// Rotate implements kernels.TrainDevice.
func (d *Device) Rotate(x kernels.Floats, positions kernels.Buf[int32], rope kernels.RoPE, back bool) {
	wantLen("Rotate", "positions", positions, x.Rows)
	if x.Cols%rope.HeadDim != 0 {
		panic(fmt.Sprintf("cpu: Rotate: %d columns of heads of %d", x.Cols, rope.HeadDim))
	}
	t := &d.train.rotate
	t.k, t.x, t.dim, t.heads = &d.isa.rowKernels, matrixOf(x, false), rope.HeadDim, x.Cols/rope.HeadDim
	t.positions, t.cos, t.sin, t.back = view(positions), view(rope.Cos), view(rope.Sin), back
	t.minus = grown(t.minus, d.pool.workers, rope.HeadDim/2)
	d.eachSpan(x.Rows, 16, t)
}

func (t *rotateRows) span(worker, from, to int) {
	half := t.dim / 2
	for i := from; i < to; i++ {
		at := int(t.positions[i]) * half
		cos, sin := t.cos[at:][:half], t.sin[at:][:half]
		if t.back { // by the opposite angle
			minus := t.minus[worker][:half]
			for j, s := range sin {
				minus[j] = -s
			}
			sin = minus
		}
		for h := range t.heads {
			x := t.x.v[i*t.x.row+h*t.dim:][:t.dim]
			t.k.rotateAny(x, x, cos, sin)
		}
	}
}

// partRows is how many rows' parts of a column's sum are added before they join the
// others, in order: so the sum does not depend on the threads.
const partRows = 64

// normGrad is RMSNormGrad under way.
type normGrad struct {
	dx, dy, x matrix
	cols      int
	n         int
	w         []float32
	eps       float32
	parts     []float32 // [parts of partRows rows, cols] of dw
}

// RMSNormGrad implements kernels.TrainDevice.
func (d *Device) RMSNormGrad(dx kernels.Floats, dw kernels.Buf[float32], dy, x kernels.Floats, w kernels.Buf[float32], eps float32) {
	wantShape("RMSNormGrad", "dx", dx, x.Rows, x.Cols)
	wantShape("RMSNormGrad", "dy", dy, x.Rows, x.Cols)
	wantLen("RMSNormGrad", "dw", dw, x.Cols)
	wantLen("RMSNormGrad", "w", w, x.Cols)
	t := &d.train.norm
	t.dx, t.dy, t.x = matrixOf(dx, false), matrixOf(dy, false), matrixOf(x, false)
	t.cols, t.n, t.w, t.eps = x.Cols, x.Rows, view(w), eps
	parts := (x.Rows + partRows - 1) / partRows
	if len(t.parts) < parts*x.Cols {
		t.parts = make([]float32, parts*x.Cols)
	}
	d.eachSpan(parts, 1, t)
	if d.err != nil {
		return
	}
	sum := view(dw)
	for p := range parts {
		for j, v := range t.parts[p*t.cols:][:t.cols] {
			sum[j] += v
		}
	}
}

// span does parts. With u = x·r, r = 1/√(mean x² + eps), y = u·w: du = dy·w and
// dx = r·(du - u·mean(du·u)), dw = Σ dy·u.
func (t *normGrad) span(_, from, to int) {
	for p := from; p < to; p++ {
		dw := t.parts[p*t.cols:][:t.cols]
		clear(dw)
		for i := p * partRows; i < min((p+1)*partRows, t.n); i++ {
			x, dy, dx := t.x.v[i*t.x.row:][:t.cols], t.dy.v[i*t.dy.row:][:t.cols], t.dx.v[i*t.dx.row:][:t.cols]
			var ss, dot float32
			for j, v := range x {
				ss += float32(v * v)
				dot += float32(float32(dy[j]*t.w[j]) * v)
			}
			r := normScale(ss, t.cols, t.eps)
			mean := float32(float32(float32(dot*r)*r) / float32(t.cols)) // of du·u, times r
			for j, v := range x {
				dw[j] += float32(dy[j] * float32(v*r))
				dx[j] += float32(r * (float32(dy[j]*t.w[j]) - float32(v*mean)))
			}
		}
	}
}

// swigluGradRows is SwiGLUGrad under way.
type swigluGradRows struct {
	k       *trainKernels
	d, y, x matrix
	cols    int
}

// SwiGLUGrad implements kernels.TrainDevice.
func (d *Device) SwiGLUGrad(dGateUp, dy, gateUp kernels.Floats) {
	wantShape("SwiGLUGrad", "dGateUp", dGateUp, dy.Rows, 2*dy.Cols)
	wantShape("SwiGLUGrad", "gateUp", gateUp, dy.Rows, 2*dy.Cols)
	d.train.swiglu = swigluGradRows{&d.isa.train, matrixOf(dGateUp, false), matrixOf(dy, false), matrixOf(gateUp, false), dy.Cols}
	d.eachSpan(dy.Rows, 4, &d.train.swiglu)
}

func (t *swigluGradRows) span(_, from, to int) {
	for i := from; i < to; i++ {
		g, x, dy := t.d.v[i*t.d.row:][:2*t.cols], t.x.v[i*t.x.row:][:2*t.cols], t.y.v[i*t.y.row:][:t.cols]
		n := t.cols &^ 7
		t.k.swigluGrad(g[:n], g[t.cols:][:n], dy[:n], x[:n], x[t.cols:][:n])
		swigluGradGeneric(g[n:t.cols], g[t.cols+n:], dy[n:], x[n:t.cols], x[t.cols+n:])
	}
}

// embedGrad is EmbedGrad under way. A span is one of columns: rows of a token are
// added in the tokens' order.
type embedGrad struct {
	table, out matrix
	ids        []int32
}

// EmbedGrad implements kernels.TrainDevice.
func (d *Device) EmbedGrad(dTable, dout kernels.Floats, ids kernels.Buf[int32]) {
	wantShape("EmbedGrad", "dTable", dTable, dTable.Rows, dout.Cols)
	wantLen("EmbedGrad", "ids", ids, dout.Rows)
	d.train.embed = embedGrad{matrixOf(dTable, false), matrixOf(dout, false), view(ids)}
	for i, id := range d.train.embed.ids {
		if id < 0 || int(id) >= dTable.Rows {
			panic(fmt.Sprintf("cpu: EmbedGrad: ids[%d] is %d of a vocabulary of %d", i, id, dTable.Rows))
		}
	}
	d.eachSpan(dout.Cols, 16, &d.train.embed)
}

func (t *embedGrad) span(_, from, to int) {
	for i, id := range t.ids {
		row := t.table.v[int(id)*t.table.row+from:][:to-from]
		for j, v := range t.out.v[i*t.out.row+from:][:to-from] {
			row[j] += v
		}
	}
}

// squareRows is RowSquares under way.
type squareRows struct {
	k    *trainKernels
	x    matrix
	cols int
	out  []float32
}

// RowSquares implements kernels.TrainDevice.
func (d *Device) RowSquares(out kernels.Buf[float32], x kernels.Floats) {
	wantLen("RowSquares", "out", out, x.Rows)
	d.train.squares = squareRows{&d.isa.train, matrixOf(x, false), x.Cols, view(out)}
	d.eachSpan(x.Rows, 4, &d.train.squares)
}

func (t *squareRows) span(_, from, to int) {
	for i := from; i < to; i++ {
		x := t.x.v[i*t.x.row:][:t.cols]
		t.out[i] = t.k.productsAny(x, x)
	}
}

// adamwRows is AdamW under way.
type adamwRows struct {
	w, g, m, v matrix
	cols       int
	o          kernels.AdamWStep
}

// AdamW implements kernels.TrainDevice.
func (d *Device) AdamW(w, g, m, v kernels.Floats, o kernels.AdamWStep) {
	wantShape("AdamW", "g", g, w.Rows, w.Cols)
	wantShape("AdamW", "m", m, w.Rows, w.Cols)
	wantShape("AdamW", "v", v, w.Rows, w.Cols)
	d.train.adamw = adamwRows{matrixOf(w, false), matrixOf(g, false), matrixOf(m, false), matrixOf(v, false), w.Cols, o}
	d.eachSpan(w.Rows, 4, &d.train.adamw)
}

func (t *adamwRows) span(_, from, to int) {
	o := &t.o
	for i := from; i < to; i++ {
		w, g := t.w.v[i*t.w.row:][:t.cols], t.g.v[i*t.g.row:][:t.cols]
		m, v := t.m.v[i*t.m.row:][:t.cols], t.v.v[i*t.v.row:][:t.cols]
		for j := range w {
			x := float32(g[j] * o.GradScale)
			m[j] = float32(o.Beta1*m[j]) + float32((1-o.Beta1)*x)
			v[j] = float32(o.Beta2*v[j]) + float32(float32((1-o.Beta2)*x)*x)
			root := float32(math.Sqrt(float64(v[j] / o.Correct2)))
			step := float32(m[j]/o.Correct1) / (root + o.Epsilon)
			w[j] -= float32(o.LearningRate * (step + float32(o.WeightDecay*w[j])))
			if o.Least > 0 {
				w[j] = max(w[j], o.Least)
			}
		}
	}
}

// copyRows is Clear and Copy under way.
type copyRows struct {
	dst, src matrix // Clear has no src
	cols     int
}

// Clear implements kernels.TrainDevice.
func (d *Device) Clear(x kernels.Floats) {
	d.train.copy = copyRows{matrixOf(x, false), matrix{}, x.Cols}
	d.eachSpan(x.Rows, 16, &d.train.copy)
}

// Copy implements kernels.TrainDevice.
func (d *Device) Copy(dst, src kernels.Floats) {
	wantShape("Copy", "dst", dst, src.Rows, src.Cols)
	d.train.copy = copyRows{matrixOf(dst, false), matrixOf(src, false), src.Cols}
	d.eachSpan(src.Rows, 16, &d.train.copy)
}

func (t *copyRows) span(_, from, to int) {
	for i := from; i < to; i++ {
		dst := t.dst.v[i*t.dst.row:][:t.cols]
		if t.src.v == nil {
			clear(dst)
			continue
		}
		copy(dst, t.src.v[i*t.src.row:][:t.cols])
	}
}
