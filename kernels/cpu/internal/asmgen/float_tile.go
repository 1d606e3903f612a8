package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floatTile writes floatTile2AVX2 and floatTile3AVX2: four rows by two or three tokens. The
// panel's four vectors are each loaded once for all tokens.
func floatTile(c *build.Context) {
	const rows = 4
	for _, tokens := range []int{2, 3} {
		name := fmt.Sprintf("floatTile%dAVX2", tokens)
		function(c, name, "func(total, panel, x *float32, stride, n int)",
			fmt.Sprintf("%s adds the blocks' lanes of panel [n/8, %d, 8] times %d rows of x, stride", name, rows, tokens),
			fmt.Sprintf("elements apart, to total [%d, %d, 8]. n is a multiple of 64.", tokens, rows))
		total, panel, x := pointer(c, "total"), pointer(c, "panel"), pointer(c, "x")
		stride, n := integer(c, "stride"), integer(c, "n")
		c.SHLQ(operand.U8(2), stride)
		left := c.GP64()

		c.Label("block")
		c.MOVQ(operand.U32(blockGroups*floatGroup), left)
		c.CMPQ(n, left)
		c.CMOVQLT(n, left)
		c.SUBQ(left, n)
		var acc [3][rows]reg.VecVirtual
		for t := range tokens {
			for r := range rows {
				acc[t][r] = zeroed(c)
			}
		}
		c.Label("vectors")
		for u := range 2 {
			var xv [3]reg.VecVirtual
			for t := range tokens {
				xv[t] = c.YMM()
				m := operand.Mem{Base: x, Disp: 32 * u}
				if t > 0 {
					m.Index, m.Scale = stride, uint8(t)
				}
				c.VMOVUPS(m, xv[t])
			}
			for r := range rows {
				w := c.YMM()
				c.VMOVUPS(at(panel, 32*(rows*u+r)), w)
				for t := range tokens {
					c.VFMADD231PS(xv[t], w, acc[t][r])
				}
			}
		}
		c.ADDQ(operand.U32(2*rows*32), panel)
		c.ADDQ(operand.U8(64), x)
		c.SUBQ(operand.U8(16), left)
		c.JNZ(operand.LabelRef("vectors"))
		for t := range tokens {
			for r := range rows {
				m := at(total, 32*(rows*t+r))
				c.VADDPS(m, acc[t][r], acc[t][r])
				c.VMOVUPS(acc[t][r], m)
			}
		}
		c.TESTQ(n, n)
		c.JNZ(operand.LabelRef("block"))
		ret(c)
	}
}
