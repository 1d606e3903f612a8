package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const floatSumsSignature = "func(out []float32, stride int, total []float32, tokens, rows int, scale []float32, add bool)"

// floatSums writes floatSumsAVX2: fp.Sum8 of four rows at once, by halves, quarters
// and last two.
func floatSums(c *build.Context) {
	begin(c, "floatSumsAVX2", floatSumsSignature, "a sumsFunc for panels of 4 rows, none of them missing.")
	out, stride, total, tokens := base(c, "out"), integer(c, "stride"), base(c, "total"), integer(c, "tokens")
	scale := base(c, "scale")
	add := c.Load(c.Param("add"), c.GP8())
	c.SHLQ(operand.U8(2), stride)

	c.Label("token")
	var half [4]reg.VecVirtual
	for r := range half {
		half[r] = c.XMM()
		c.VMOVUPS(at(total, 32*r), half[r])
		c.VADDPS(at(total, 32*r+16), half[r], half[r])
	}
	y := sumQuarters(c, half, c.XMM)
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

// sumQuarters adds the four floats in each 16 bytes of x, by halves, then the last two:
// the sums of x[i] are floats i of every four.
func sumQuarters(c *build.Context, x [4]reg.VecVirtual, vector func() reg.VecVirtual) reg.VecVirtual {
	var two [2]reg.VecVirtual // two floats of x[2i], then two of x[2i+1]
	for i := range two {
		hi := vector()
		two[i] = vector()
		c.VUNPCKLPD(x[2*i+1], x[2*i], two[i])
		c.VUNPCKHPD(x[2*i+1], x[2*i], hi)
		c.VADDPS(hi, two[i], two[i])
	}
	y, odd := vector(), vector()
	c.VSHUFPS(operand.U8(0x88), two[1], two[0], y)
	c.VSHUFPS(operand.U8(0xdd), two[1], two[0], odd)
	c.VADDPS(odd, y, y)
	return y
}
