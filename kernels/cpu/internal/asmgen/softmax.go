package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// softmax writes softmaxAVX2: a row's maximum, then everything else in one pass.
func softmax(c *build.Context) {
	expData(c)
	vectorData(c, "softmaxNegInf", math.Float32bits(float32(math.Inf(-1))))
	begin(c, "softmaxAVX2", "func(s, scale, zero, m, l, c []float32)", "attentionKernels.softmax.")
	s, scale, zero, n := base(c, "s"), base(c, "scale"), base(c, "zero"), length(c, "scale")
	m, l, corr, rows := base(c, "m"), base(c, "l"), base(c, "c"), length(c, "m")

	c.Label("rows")
	top := c.YMM()
	c.VMOVUPS(data("softmaxNegInf"), top)
	each(c, "max", n, 8, func(i reg.GPVirtual) {
		c.VMAXPS(indexed(s, i, 4), top, top)
	})
	x := fold(c, top, func(o, x reg.VecVirtual) { c.VMAXPS(o, x, x) })
	c.VMOVSS(x, operand.Mem{Base: m})
	c.VBROADCASTSS(x, top)

	sum, corrs := zeroed(c), zeroed(c)
	each(c, "exp", n, 8, func(i reg.GPVirtual) {
		e := c.YMM()
		c.VMOVUPS(indexed(s, i, 4), e)
		c.VSUBPS(top, e, e)
		e = exp(c, e)
		c.VADDPS(e, sum, sum)
		c.VFMADD231PS(indexed(zero, i, 4), e, corrs)
		c.VMULPS(indexed(scale, i, 4), e, e)
		c.VMOVUPS(e, indexed(s, i, 4))
	})
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
