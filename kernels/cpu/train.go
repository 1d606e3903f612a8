package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels/fp"
)

// trainKernels are the inner loops of training's operators. Lengths are multiples of
// 8, and slices of one call are equally long.
type trainKernels struct {
	// expScaled sets y to fp.Exp((x-shift)·scale) and returns its sum: eight lanes, fp.Sum8.
	expScaled func(y, x []float32, shift, scale float32) float32

	// products returns Σ x·y, each product rounded: eight lanes, fp.Sum8.
	products func(x, y []float32) float32

	// softmaxGrad sets y to p·(dp-mean)·scale.
	softmaxGrad func(y, p, dp []float32, mean, scale float32)

	// swigluGrad sets dup and dgate to the gradients of fp.SiLU(gate)·up, times dy.
	swigluGrad func(dgate, dup, dy, gate, up []float32)

	// combine sets y to fp.FMA(p, a, q·b).
	combine func(y, p, q []float32, a, b float32)

	// dequantize sets y to q·scale.
	dequantize func(y []float32, q []int8, scale float32)
}

var trainGeneric = trainKernels{expScaledGeneric, productsGeneric, softmaxGradGeneric, swigluGradGeneric, combineGeneric, dequantizeGeneric}

func expScaledGeneric(y, x []float32, shift, scale float32) float32 {
	var sum [fp.Lanes]float32
	for i, v := range x {
		y[i] = fp.Exp(float32(v-shift) * scale)
		sum[i%fp.Lanes] += y[i]
	}
	return fp.Sum8(&sum)
}

func productsGeneric(x, y []float32) float32 {
	var sum [fp.Lanes]float32
	for i, v := range x {
		sum[i%fp.Lanes] += float32(v * y[i])
	}
	return fp.Sum8(&sum)
}

func softmaxGradGeneric(y, p, dp []float32, mean, scale float32) {
	for i := range y {
		y[i] = float32(p[i]*(dp[i]-mean)) * scale
	}
}

// With s = 1/(1 + exp(-gate)), the derivative of gate·s is s·(1 + gate·(1-s)).
func swigluGradGeneric(dgate, dup, dy, gate, up []float32) {
	for i, g := range gate {
		s := 1 / (1 + fp.Exp(-g))
		slope := float32(fp.FMA(1-s, g, 1) * s)
		du, dg := float32(float32(g*s)*dy[i]), float32(float32(dy[i]*up[i])*slope)
		dup[i], dgate[i] = du, dg
	}
}

func combineGeneric(y, p, q []float32, a, b float32) {
	for i := range y {
		y[i] = fp.FMA(p[i], a, float32(q[i]*b))
	}
}

func dequantizeGeneric(y []float32, q []int8, scale float32) {
	for i := range y {
		y[i] = float32(q[i]) * scale
	}
}

// padded rounds n up to a multiple of fp.Lanes.
func padded(n int) int { return (n + fp.Lanes - 1) / fp.Lanes * fp.Lanes }

// spanOp is an operator whose rows do not depend on each other, or on how they are cut
// into spans.
type spanOp interface {
	span(worker, from, to int)
}

// spansTask runs a spanOp.
type spansTask struct {
	op     spanOp
	n, per int
}

// eachSpan runs op over rows 0..n-1, at least least of them at a time.
func (d *Device) eachSpan(n, least int, op spanOp) {
	t := &d.spans
	t.op, t.n = op, n
	t.per = max(least, (n+chunksPerWorker*d.pool.workers-1)/(chunksPerWorker*d.pool.workers))
	d.run((n+t.per-1)/t.per, t)
	t.op = nil
}

func (t *spansTask) run(worker, chunk int) {
	t.op.span(worker, chunk*t.per, min((chunk+1)*t.per, t.n))
}

var negInf = float32(math.Inf(-1))

func (k *trainKernels) dequantizeAny(y []float32, q []int8, scale float32) {
	n := len(y) &^ 7
	k.dequantize(y[:n], q[:n], scale)
	dequantizeGeneric(y[n:], q[n:], scale)
}

// productsAny takes any length: elements that are left join the lanes, before these are
// summed.
func (k *trainKernels) productsAny(x, y []float32) float32 {
	if len(x)%fp.Lanes != 0 {
		return productsGeneric(x, y)
	}
	return k.products(x, y)
}

// trainTasks hold the arguments of training's operators, so that a call allocates nothing.
type trainTasks struct {
	fakeRows fakeRows
	pack     packRows
	dequant  dequantizeRows
	released releasedRows
	stepRows stepRows
	stepGrad stepGradRows
	fakeKV   fakeKVRows
	gate     gateRows
	rotate   rotateRows
	norm     normGrad
	swiglu   swigluGradRows
	embed    embedGrad
	attend   trainAttention
	distill  distillRows
	topK     distillTopK
	maps     distillMaps
	hidden   distillHidden
	squares  squareRows
	adamw    adamwRows
	copy     copyRows
}
