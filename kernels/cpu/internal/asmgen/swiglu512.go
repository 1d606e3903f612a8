package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// swiglu512 writes swigluAVX512: three registers at a time (more do not fit), then one, then half of one.
func swiglu512(c *build.Context) {
	expData(c)
	vectorData(c, "swigluSign", 1<<31)
	begin(c, "swigluAVX512", "func(y, gate, up []float32)", "rowKernels.swiglu.")
	y, gate, up, n := base(c, "y"), base(c, "gate"), base(c, "up"), length(c, "y")
	e := newExp512(c)
	sign := broadcast512(c, data("swigluSign"))
	half := c.K()
	word := c.GP32()
	c.MOVL(operand.U32(0xff), word)
	c.KMOVW(word, half)
	i := eachOf(c, "loop", n, []int{48, 16}, func(i reg.GPVirtual, step int) {
		swigluOf(c, e, step/16, sign, func(j int, g reg.VecVirtual) { c.VMOVUPS(indexed(gate, i, 4).Offset(64*j), g) }, func(j int, g reg.VecVirtual) {
			c.VMULPS(indexed(up, i, 4).Offset(64*j), g, g)
			c.VMOVUPS(g, indexed(y, i, 4).Offset(64*j))
		})
	})
	c.CMPQ(i, n)
	c.JGE(operand.LabelRef("done"))
	swigluOf(c, e, 1, sign, func(_ int, g reg.VecVirtual) { c.VMOVUPS_Z(indexed(gate, i, 4), half, g) }, func(_ int, g reg.VecVirtual) {
		u := c.ZMM()
		c.VMOVUPS_Z(indexed(up, i, 4), half, u)
		c.VMULPS(u, g, g)
		c.VMOVUPS(g, half, indexed(y, i, 4))
	})
	c.Label("done")
	ret(c)
}

// swigluOf emits the loads of gates, their sigmoids times themselves, and what is done
// with each.
func swigluOf(c *build.Context, e exp512, vectors int, sign reg.VecVirtual, load, store func(j int, g reg.VecVirtual)) {
	g, x := vectors512(c, vectors), vectors512(c, vectors)
	for j := range g {
		load(j, g[j])
		c.VPXORD(sign, g[j], x[j])
	}
	e.of(c, x)
	for j := range g {
		c.VADDPS(e.one, x[j], x[j])
		c.VDIVPS(x[j], g[j], g[j])
		store(j, g[j])
	}
}
