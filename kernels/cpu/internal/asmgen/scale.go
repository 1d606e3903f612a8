package asmgen

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// scale emits what turns sums into outputs, eight at a time: each step is one
// rounding, as in the generic code, so the add is no FMA.
func scale(c *build.Context) {
	scaleSums(c, "scaleSumsAVX2", false)
	scaleSums(c, "addSumsAVX2", true)
}

func scaleSums(c *build.Context, name string, add bool) {
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(out []float32, sum []int32, wScale []float32, xScale float32, bias int32)")
	c.Doc(name + " is a scaleFunc for multiples of 8.")
	c.Pragma("noescape")
	out := operand.Mem{Base: c.Load(c.Param("out").Base(), c.GP64())}
	sum := operand.Mem{Base: c.Load(c.Param("sum").Base(), c.GP64())}
	wScale := operand.Mem{Base: c.Load(c.Param("wScale").Base(), c.GP64())}
	n := c.Load(c.Param("out").Len(), c.GP64())
	c.SHRQ(operand.U8(3), n)
	c.JZ(operand.LabelRef("done"))
	x, bias := c.YMM(), c.YMM()
	xScale, err := c.Param("xScale").Resolve()
	if err != nil {
		panic(err)
	}
	c.VBROADCASTSS(xScale.Addr, x)
	word := c.XMM()
	c.VMOVD(c.Load(c.Param("bias"), c.GP32()), word)
	c.VPBROADCASTD(word, bias)

	c.Label("loop")
	y, s := c.YMM(), c.YMM()
	c.VMOVDQU(sum, y)
	c.VPSUBD(bias, y, y)
	c.VCVTDQ2PS(y, y)
	c.VMULPS(wScale, x, s)
	c.VMULPS(s, y, y)
	if add {
		c.VADDPS(out, y, y)
	}
	c.VMOVUPS(y, out)
	for _, p := range []operand.Mem{out, sum, wScale} {
		c.ADDQ(operand.U8(32), p.Base)
	}
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.Label("done")
	c.VZEROUPPER()
	c.RET()
}
