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
	c.SignatureExpr("func(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)")
	c.Doc(name + " is a scaleFunc for multiples of 8 rows.")
	c.Pragma("noescape")
	outs := c.Load(c.Param("out").Base(), c.GP64())
	outStride := c.Load(c.Param("outStride"), c.GP64())
	sums := c.Load(c.Param("sum").Base(), c.GP64())
	sumStride := c.Load(c.Param("sumStride"), c.GP64())
	scales := c.Load(c.Param("wScale").Base(), c.GP64())
	rows := c.Load(c.Param("wScale").Len(), c.GP64())
	xScale := operand.Mem{Base: c.Load(c.Param("xScale").Base(), c.GP64())}
	tokens := c.Load(c.Param("xScale").Len(), c.GP64())
	xSum := operand.Mem{Base: c.Load(c.Param("xSum").Base(), c.GP64())}
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
	c.VZEROUPPER()
	c.RET()
}
