package asmgen

import (
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
	begin(c, name, "func(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)",
		"a scaleFunc for multiples of 8 rows.")
	outs, outStride := base(c, "out"), integer(c, "outStride")
	sums, sumStride := base(c, "sum"), integer(c, "sumStride")
	scales, rows := base(c, "wScale"), length(c, "wScale")
	xScale := operand.Mem{Base: base(c, "xScale")}
	tokens := length(c, "xScale")
	xSum := operand.Mem{Base: base(c, "xSum")}
	offset := c.Load(c.Param("offset"), c.GP32())
	c.TESTQ(rows, rows)
	c.JZ(operand.LabelRef("done"))

	c.Label("token")
	x, bias, word, xmm, row := c.YMM(), c.YMM(), c.GP32(), c.XMM(), c.GP64()
	c.VBROADCASTSS(xScale, x)
	c.MOVL(offset, word)
	c.IMULL(xSum, word)
	c.VMOVD(word, xmm)
	c.VPBROADCASTD(xmm, bias)
	c.XORQ(row, row)

	c.Label("row")
	y, s := c.YMM(), c.YMM()
	out := operand.Mem{Base: outs, Index: row, Scale: 4}
	c.VMOVDQU(operand.Mem{Base: sums, Index: row, Scale: 4}, y)
	c.VPSUBD(bias, y, y)
	c.VCVTDQ2PS(y, y)
	c.VMULPS(operand.Mem{Base: scales, Index: row, Scale: 4}, x, s)
	c.VMULPS(s, y, y)
	if add {
		c.VADDPS(out, y, y)
	}
	c.VMOVUPS(y, out)
	c.ADDQ(operand.U8(8), row)
	c.CMPQ(row, rows)
	c.JLT(operand.LabelRef("row"))

	c.LEAQ(operand.Mem{Base: outs, Index: outStride, Scale: 4}, outs)
	c.LEAQ(operand.Mem{Base: sums, Index: sumStride, Scale: 4}, sums)
	c.ADDQ(operand.U8(4), xScale.Base)
	c.ADDQ(operand.U8(4), xSum.Base)
	c.DECQ(tokens)
	c.JNZ(operand.LabelRef("token"))
	c.Label("done")
	ret(c)
}
