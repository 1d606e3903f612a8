package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// softmax writes softmaxAVX2: a row's maximum, then everything else in one pass,
// four vectors at a time and two at the end. Scores make way for masks.
func softmax(c *build.Context) {
	expData(c)
	vectorData(c, "softmaxNegInf", math.Float32bits(float32(math.Inf(-1))))
	begin(c, "softmaxAVX2", "func(s, scale, zero, m, l, c []float32)", "attentionKernels.softmax.")
	s, scale, zero, n := base(c, "s"), base(c, "scale"), base(c, "zero"), length(c, "scale")
	m, l, corr, rows := base(c, "m"), base(c, "l"), base(c, "c"), length(c, "m")

	c.Label("rows")
	tops := []reg.VecVirtual{c.YMM(), c.YMM()}
	for _, top := range tops {
		c.VMOVUPS(data("softmaxNegInf"), top)
	}
	each(c, "max", n, 16, func(i reg.GPVirtual) {
		for j, top := range tops {
			c.VMAXPS(indexed(s, i, 4).Offset(32*j), top, top)
		}
	})
	top := tops[0]
	c.VMAXPS(tops[1], top, top)
	x := fold(c, top, func(o, x reg.VecVirtual) { c.VMAXPS(o, x, x) })
	c.VMOVSS(x, operand.Mem{Base: m})

	sum, corrs := zeroed(c), zeroed(c)
	eachOf(c, "exp", n, []int{32, 16}, func(i reg.GPVirtual, step int) {
		at := func(base reg.GPVirtual, j int) operand.Mem { return indexed(base, i, 4).Offset(32 * j) }
		top := c.YMM()
		c.VBROADCASTSS(operand.Mem{Base: m}, top)
		x := grid(1, step/8, c.YMM)[0]
		for j, x := range x {
			c.VMOVUPS(at(s, j), x)
			c.VSUBPS(top, x, x)
		}
		for j, e := range exps(c, x, func(j int) operand.Op { return at(s, j) }) {
			c.VADDPS(e, sum, sum)
			c.VFMADD231PS(at(zero, j), e, corrs)
			c.VMULPS(at(scale, j), e, e)
			c.VMOVUPS(e, at(s, j))
		}
	})
	endSoftmax(c, sum, corrs, s, m, l, corr, rows)
}

// endSoftmax stores the sums of a row's lanes at l and corr, and goes on to the next
// row while any is left.
func endSoftmax(c *build.Context, sum, corrs reg.VecVirtual, s, m, l, corr, rows reg.GPVirtual) {
	for _, v := range []struct {
		y  reg.VecVirtual
		to reg.GPVirtual
	}{{sum, l}, {corrs, corr}} {
		x := fold(c, v.y, func(o, x reg.VecVirtual) { c.VADDPS(o, x, x) })
		c.VMOVSS(x, operand.Mem{Base: v.to})
	}
	c.ADDQ(operand.U32(splitBytes), s)
	for _, p := range []reg.GPVirtual{m, l, corr} {
		c.ADDQ(operand.U8(4), p)
	}
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("rows"))
	ret(c)
}

// rescale writes rescaleAVX2.
func rescale(c *build.Context) {
	expData(c)
	begin(c, "rescaleAVX2", "func(m, l, m2, l2, a, b []float32)", "attentionKernels.rescale.")
	m, l, m2, l2, a, b, n := base(c, "m"), base(c, "l"), base(c, "m2"), base(c, "l2"), base(c, "a"), base(c, "b"), length(c, "m")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		top, before, after := c.YMM(), c.YMM(), c.YMM()
		c.VMOVUPS(indexed(m, i, 4), before)
		c.VMOVUPS(indexed(m2, i, 4), after)
		c.VMAXPS(after, before, top)
		c.VMOVUPS(top, indexed(m, i, 4))
		c.VSUBPS(top, before, before)
		c.VSUBPS(top, after, after)
		before, after = exp(c, before), exp(c, after)
		c.VMOVUPS(before, indexed(a, i, 4))
		c.VMOVUPS(after, indexed(b, i, 4))
		c.VMULPS(indexed(l2, i, 4), after, after)
		c.VFMADD132PS(indexed(l, i, 4), after, before)
		c.VMOVUPS(before, indexed(l, i, 4))
	})
	ret(c)
}
