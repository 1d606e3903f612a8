package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile512Rows is the number of rows of AVX-512's panels.
const tile512Rows = 16

// floatTile512 writes floatTile2AVX512 and floatTile3AVX512: a register holds the
// eight lanes of two neighbouring rows, so that 8 by 3 of them are 16 rows by three
// tokens, whose eight inputs stand in both halves of a register. The panel fills
// half of the first-level cache, so the next three tokens' inputs are asked for.
func floatTile512(c *build.Context) {
	const rows, pairs = tile512Rows, tile512Rows / 2
	for _, tokens := range []int{2, 3} {
		name := fmt.Sprintf("floatTile%dAVX512", tokens)
		function(c, name, "func(total, panel, x *float32, stride, n int)",
			fmt.Sprintf("%s adds the blocks' lanes of panel [n/8, %d, 8] times %d rows of x, stride", name, rows, tokens),
			fmt.Sprintf("elements apart, to total [%d, %d, 8]. n is a multiple of 64.", tokens, rows))
		total, panel, x := pointer(c, "total"), pointer(c, "panel"), pointer(c, "x")
		stride, n := integer(c, "stride"), integer(c, "n")
		c.SHLQ(operand.U8(2), stride)
		left, next := c.GP64(), c.GP64()
		c.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, next)
		c.ADDQ(x, next)
		token := func(base reg.Register, t, disp int) operand.Mem {
			m := at(base, disp)
			if t > 0 {
				m.Index, m.Scale = stride, uint8(t)
			}
			return m
		}

		c.Label("block")
		c.MOVQ(operand.U32(blockGroups*floatGroup), left)
		c.CMPQ(n, left)
		c.CMOVQLT(n, left)
		c.SUBQ(left, n)
		acc := grid(tokens, pairs, func() reg.VecVirtual { return zeroed512(c) })
		c.Label("line") // of inputs: two vectors
		for t := range tokens {
			c.PREFETCHT0(token(next, t, 0))
		}
		for u := range 2 {
			var xv [3]reg.VecVirtual
			for t := range tokens {
				xv[t] = c.ZMM()
				c.VBROADCASTF32X8(token(x, t, 32*u), xv[t])
			}
			for r := range pairs {
				w := c.ZMM()
				c.VMOVUPS(at(panel, 64*(pairs*u+r)), w)
				for t := range tokens {
					c.VFMADD231PS(xv[t], w, acc[t][r])
				}
			}
		}
		c.ADDQ(operand.U32(2*64*pairs), panel)
		c.ADDQ(operand.U8(64), x)
		c.ADDQ(operand.U8(64), next)
		c.SUBQ(operand.U8(16), left)
		c.JNZ(operand.LabelRef("line"))
		for t := range tokens {
			for r, a := range acc[t] {
				m := at(total, 64*(pairs*t+r))
				c.VADDPS(m, a, a)
				c.VMOVUPS(a, m)
			}
		}
		c.TESTQ(n, n)
		c.JNZ(operand.LabelRef("block"))
		ret(c)
	}
}
