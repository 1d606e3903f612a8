package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floatTile512 writes floatTile2AVX512 and floatTile3AVX512: a register holds the
// eight lanes of two neighbouring rows, so that 8 by 3 of them are 16 rows by three
// tokens, whose eight inputs stand in both halves of a register.
func floatTile512(c *build.Context) {
	const rows, pairs = 16, 8
	for _, tokens := range []int{2, 3} {
		name := fmt.Sprintf("floatTile%dAVX512", tokens)
		c.Function(name)
		c.Attributes(attr.NOSPLIT)
		c.Pragma("noescape")
		c.Doc(fmt.Sprintf("%s adds the blocks' lanes of panel [n/8, %d, 8] times %d rows of x, stride", name, rows, tokens),
			fmt.Sprintf("elements apart, to total [%d, %d, 8]. n is a multiple of 64.", tokens, rows))
		c.SignatureExpr("func(total, panel, x *float32, stride, n int)")
		total := c.Load(c.Param("total"), c.GP64())
		panel := c.Load(c.Param("panel"), c.GP64())
		x := c.Load(c.Param("x"), c.GP64())
		stride := c.Load(c.Param("stride"), c.GP64())
		n := c.Load(c.Param("n"), c.GP64())
		c.SHLQ(operand.U8(2), stride)
		left := c.GP64()

		c.Label("block")
		c.MOVQ(operand.U32(blockGroups*floatGroup), left)
		c.CMPQ(n, left)
		c.CMOVQLT(n, left)
		c.SUBQ(left, n)
		var acc [3][pairs]reg.VecVirtual
		for t := range tokens {
			for r := range pairs {
				acc[t][r] = c.ZMM()
				c.VPXORD(acc[t][r], acc[t][r], acc[t][r])
			}
		}
		c.Label("lanes")
		var xv [3]reg.VecVirtual
		for t := range tokens {
			xv[t] = c.ZMM()
			m := at(x, 0)
			if t > 0 {
				m.Index, m.Scale = stride, uint8(t)
			}
			c.VBROADCASTF32X8(m, xv[t])
		}
		for r := range pairs {
			w := c.ZMM()
			c.VMOVUPS(at(panel, 64*r), w)
			for t := range tokens {
				c.VFMADD231PS(xv[t], w, acc[t][r])
			}
		}
		c.ADDQ(operand.U32(pairs*64), panel)
		c.ADDQ(operand.U8(32), x)
		c.SUBQ(operand.U8(8), left)
		c.JNZ(operand.LabelRef("lanes"))
		for t := range tokens {
			for r := range pairs {
				m := at(total, 64*(pairs*t+r))
				c.VADDPS(m, acc[t][r], acc[t][r])
				c.VMOVUPS(acc[t][r], m)
			}
		}
		c.TESTQ(n, n)
		c.JNZ(operand.LabelRef("block"))
		c.VZEROUPPER()
		c.RET()
	}
}
