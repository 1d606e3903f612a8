package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floatSums512 writes floatSumsAVX512: fp.Sum8 of sixteen rows at once. A register
// holds two rows' lanes; each step adds one half of what is left of every row to the
// other, and packs two registers into one.
func floatSums512(c *build.Context) {
	// The sum of row 4j+i comes out as element 4i+j.
	static(c, "sums_order", 16, func(i int) operand.Constant { return operand.U32(i%4*4 + i/4) })
	begin(c, "floatSumsAVX512", floatSumsSignature, "a sumsFunc for panels of 16 rows.")
	out, stride, total, tokens := base(c, "out"), integer(c, "stride"), base(c, "total"), integer(c, "tokens")
	c.Load(c.Param("rows"), reg.RCX)
	scale := base(c, "scale")
	add := c.Load(c.Param("add"), c.GP8())
	c.SHLQ(operand.U8(2), stride)
	// A bit for each row that there is.
	bits, there := c.GP32(), c.K()
	c.MOVL(operand.U32(1), bits)
	c.SHLL(reg.CL, bits)
	c.DECL(bits)
	c.KMOVW(bits, there)
	order, factor := c.ZMM(), c.ZMM()
	c.VMOVDQU32(staticAddr("sums_order"), order)
	c.TESTQ(scale, scale)
	c.JZ(operand.LabelRef("token"))
	c.VMOVUPS_Z(at(scale, 0), there, factor)

	c.Label("token")
	var four [4]reg.VecVirtual // rows 4j..4j+3 in the quarters of a register
	for j := range four {
		a, b := c.ZMM(), c.ZMM()
		four[j] = c.ZMM()
		c.VMOVUPS(at(total, 128*j), a)
		c.VMOVUPS(at(total, 128*j+64), b)
		c.VSHUFF32X4(operand.U8(0x88), b, a, four[j])
		c.VSHUFF32X4(operand.U8(0xdd), b, a, a)
		c.VADDPS(a, four[j], four[j])
	}
	y := sumQuarters(c, four, c.ZMM)
	c.VPERMPS(y, order, y)
	c.TESTQ(scale, scale)
	c.JZ(operand.LabelRef("scaled"))
	c.VMULPS(factor, y, y)
	c.Label("scaled")
	c.TESTB(add, add)
	c.JZ(operand.LabelRef("added"))
	old := c.ZMM()
	c.VMOVUPS_Z(at(out, 0), there, old)
	c.VADDPS(old, y, y)
	c.Label("added")
	c.VMOVUPS(y, there, at(out, 0))
	c.ADDQ(stride, out)
	c.ADDQ(operand.U32(32*tile512Rows), total)
	c.DECQ(tokens)
	c.JNZ(operand.LabelRef("token"))
	ret(c)
}
