package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// swiglu writes swigluAVX2: gate/(1 + exp(-gate)) · up.
func swiglu(c *build.Context) {
	expData(c)
	vectorData(c, "swigluSign", 1<<31)
	begin(c, "swigluAVX2", "func(y, gate, up []float32)", "rowKernels.swiglu.")
	y, gate, up, n := base(c, "y"), base(c, "gate"), base(c, "up"), length(c, "y")
	sign := c.YMM()
	c.VMOVUPS(data("swigluSign"), sign)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		g, e := c.YMM(), c.YMM()
		c.VMOVUPS(indexed(gate, i, 4), g)
		c.VXORPS(sign, g, e)
		e = exp(c, e)
		c.VADDPS(data("expOne"), e, e)
		c.VDIVPS(e, g, g)
		c.VMULPS(indexed(up, i, 4), g, g)
		c.VMOVUPS(g, indexed(y, i, 4))
	})
	ret(c)
}
