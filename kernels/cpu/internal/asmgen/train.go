package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// train writes the loops of trainKernels, eight elements at a time.
func train(c *build.Context) {
	expData(c)
	vectorData(c, "trainSign", 1<<31)
	expScaled(c)
	products(c)
	softmaxGrad(c)
	swigluGrad(c)
	combine(c)
	dequantize(c)
}

func expScaled(c *build.Context) {
	begin(c, "expScaledAVX2", "func(y, x []float32, shift, scale float32) float32", "trainKernels.expScaled.")
	y, x, n := base(c, "y"), base(c, "x"), length(c, "y")
	shift, scale, sum := broadcast(c, "shift"), broadcast(c, "scale"), zeroed(c)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMOVUPS(indexed(x, i, 4), v)
		c.VSUBPS(shift, v, v)
		c.VMULPS(scale, v, v)
		v = exp(c, v)
		c.VADDPS(v, sum, sum)
		c.VMOVUPS(v, indexed(y, i, 4))
	})
	result(c, 0, fold(c, sum, func(o, x reg.VecVirtual) { c.VADDPS(o, x, x) }))
	ret(c)
}

func products(c *build.Context) {
	begin(c, "productsAVX2", "func(x, y []float32) float32", "trainKernels.products.")
	x, y, n, sum := base(c, "x"), base(c, "y"), length(c, "x"), zeroed(c)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMOVUPS(indexed(x, i, 4), v)
		c.VMULPS(indexed(y, i, 4), v, v)
		c.VADDPS(v, sum, sum)
	})
	result(c, 0, fold(c, sum, func(o, x reg.VecVirtual) { c.VADDPS(o, x, x) }))
	ret(c)
}

func softmaxGrad(c *build.Context) {
	begin(c, "softmaxGradAVX2", "func(y, p, dp []float32, mean, scale float32)", "trainKernels.softmaxGrad.")
	y, p, dp, n := base(c, "y"), base(c, "p"), base(c, "dp"), length(c, "y")
	mean, scale := broadcast(c, "mean"), broadcast(c, "scale")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMOVUPS(indexed(dp, i, 4), v)
		c.VSUBPS(mean, v, v)
		c.VMULPS(indexed(p, i, 4), v, v)
		c.VMULPS(scale, v, v)
		c.VMOVUPS(v, indexed(y, i, 4))
	})
	ret(c)
}

// swigluGrad writes swigluGradAVX2: s = 1/(1 + exp(-gate)), dup = dy·(gate·s),
// dgate = dy·up·(s·(1 + gate·(1-s))).
func swigluGrad(c *build.Context) {
	begin(c, "swigluGradAVX2", "func(dgate, dup, dy, gate, up []float32)", "trainKernels.swigluGrad.")
	dgate, dup, dy := base(c, "dgate"), base(c, "dup"), base(c, "dy")
	gate, up, n := base(c, "gate"), base(c, "up"), length(c, "dy")
	sign, one := c.YMM(), c.YMM()
	c.VMOVUPS(data("trainSign"), sign)
	c.VMOVUPS(data("expOne"), one)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		g, s, d, t := c.YMM(), c.YMM(), c.YMM(), c.YMM()
		c.VMOVUPS(indexed(gate, i, 4), g)
		c.VXORPS(sign, g, s)
		s = exp(c, s)
		c.VADDPS(one, s, s)
		c.VDIVPS(s, one, s)
		c.VMOVUPS(indexed(dy, i, 4), d)
		c.VMULPS(s, g, t)
		c.VMULPS(t, d, t)
		c.VMULPS(indexed(up, i, 4), d, d)
		c.VMOVUPS(t, indexed(dup, i, 4))
		c.VSUBPS(s, one, t)
		c.VFMADD213PS(one, g, t)
		c.VMULPS(s, t, t)
		c.VMULPS(t, d, d)
		c.VMOVUPS(d, indexed(dgate, i, 4))
	})
	ret(c)
}

func combine(c *build.Context) {
	begin(c, "combineAVX2", "func(y, p, q []float32, a, b float32)", "trainKernels.combine.")
	y, p, q, n := base(c, "y"), base(c, "p"), base(c, "q"), length(c, "y")
	a, b := broadcast(c, "a"), broadcast(c, "b")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMULPS(indexed(q, i, 4), b, v)
		c.VFMADD231PS(indexed(p, i, 4), a, v)
		c.VMOVUPS(v, indexed(y, i, 4))
	})
	ret(c)
}

func dequantize(c *build.Context) {
	begin(c, "dequantizeAVX2", "func(y []float32, q []int8, scale float32)", "trainKernels.dequantize.")
	y, q, n := base(c, "y"), base(c, "q"), length(c, "y")
	scale := broadcast(c, "scale")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VPMOVSXBD(indexed(q, i, 1), v)
		c.VCVTDQ2PS(v, v)
		c.VMULPS(scale, v, v)
		c.VMOVUPS(v, indexed(y, i, 4))
	})
	ret(c)
}
