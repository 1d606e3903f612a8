package asmgen

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floatSums writes floatSumsAVX2: fp.Sum8 of four rows at once, by halves, quarters
// and last two.
func floatSums(c *build.Context) {
	c.Function("floatSumsAVX2")
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc("floatSumsAVX2 is a sumsFunc for panels of 4 rows, none of them missing.")
	c.SignatureExpr("func(out []float32, stride int, total []float32, tokens, rows int, scale []float32, add bool)")
	out := c.Load(c.Param("out").Base(), c.GP64())
	stride := c.Load(c.Param("stride"), c.GP64())
	total := c.Load(c.Param("total").Base(), c.GP64())
	tokens := c.Load(c.Param("tokens"), c.GP64())
	scale := c.Load(c.Param("scale").Base(), c.GP64())
	add := c.Load(c.Param("add"), c.GP8())
	c.SHLQ(operand.U8(2), stride)

	c.Label("token")
	var half [4]reg.VecVirtual
	for r := range half {
		half[r] = c.XMM()
		c.VMOVUPS(at(total, 32*r), half[r])
		c.VADDPS(at(total, 32*r+16), half[r], half[r])
	}
	var quarter [2]reg.VecVirtual // of two rows
	for i := range quarter {
		hi := c.XMM()
		quarter[i] = c.XMM()
		c.VUNPCKLPD(half[2*i+1], half[2*i], quarter[i])
		c.VUNPCKHPD(half[2*i+1], half[2*i], hi)
		c.VADDPS(hi, quarter[i], quarter[i])
	}
	y, odd := c.XMM(), c.XMM()
	c.VSHUFPS(operand.U8(0x88), quarter[1], quarter[0], y)
	c.VSHUFPS(operand.U8(0xdd), quarter[1], quarter[0], odd)
	c.VADDPS(odd, y, y)
	c.TESTQ(scale, scale)
	c.JZ(operand.LabelRef("scaled"))
	c.VMULPS(at(scale, 0), y, y)
	c.Label("scaled")
	c.TESTB(add, add)
	c.JZ(operand.LabelRef("added"))
	c.VADDPS(at(out, 0), y, y)
	c.Label("added")
	c.VMOVUPS(y, at(out, 0))
	c.ADDQ(stride, out)
	c.ADDQ(operand.U32(128), total)
	c.DECQ(tokens)
	c.JNZ(operand.LabelRef("token"))
	c.RET()
}
