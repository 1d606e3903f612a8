package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rope writes rotateAVX2: no FMA, as each product is rounded.
func rope(c *build.Context) {
	begin(c, "rotateAVX2", "func(y, x, cos, sin []float32)", "rowKernels.rotate.")
	y, x, cos, sin, n := base(c, "y"), base(c, "x"), base(c, "cos"), base(c, "sin"), length(c, "cos")
	y2, x2 := c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: y, Index: n, Scale: 4}, y2)
	c.LEAQ(operand.Mem{Base: x, Index: n, Scale: 4}, x2)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		co, si, a, b := c.YMM(), c.YMM(), c.YMM(), c.YMM()
		ac, as, bc, bs := c.YMM(), c.YMM(), c.YMM(), c.YMM()
		c.VMOVUPS(indexed(cos, i, 4), co)
		c.VMOVUPS(indexed(sin, i, 4), si)
		c.VMOVUPS(indexed(x, i, 4), a)
		c.VMOVUPS(indexed(x2, i, 4), b)
		c.VMULPS(co, a, ac)
		c.VMULPS(si, a, as)
		c.VMULPS(co, b, bc)
		c.VMULPS(si, b, bs)
		c.VSUBPS(bs, ac, ac)
		c.VADDPS(as, bc, bc)
		c.VMOVUPS(ac, indexed(y, i, 4))
		c.VMOVUPS(bc, indexed(y2, i, 4))
	})
	ret(c)
}
