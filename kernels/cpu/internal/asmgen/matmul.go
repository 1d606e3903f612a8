package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// matmul writes the loops of matmulKernels.
func matmul(c *build.Context) {
	matmulTile(c)

	begin(c, "turnAVX2", "func(panel, x []float32, row, n int)", "matmulKernels.turn: four elements of eight rows at a time.")
	panel, x, row, n := base(c, "panel"), base(c, "x"), integer(c, "row"), integer(c, "n")
	c.SHLQ(operand.U8(2), row)
	rows := newEight(c, row)
	rows.start(c, x)
	c.Label("loop")
	for i, y := range turn8(c, rows) {
		c.VMOVDQU(y, at(panel, 64*i))
	}
	rows.advance(c, 16)
	c.ADDQ(operand.U32(256), panel)
	c.SUBQ(operand.U8(4), n)
	c.JNZ(operand.LabelRef("loop"))
	ret(c)
}

// matmulTile writes matmulTile1AVX2 to matmulTile6AVX2: rows of c by two vectors of
// columns. Six rows are 12 chains of FMA, which hide the latency of 4 at two a cycle
// and leave registers for the vectors of b and an element of a.
func matmulTile(c *build.Context) {
	const cols = 2 // vectors
	for rows := 1; rows <= 6; rows++ {
		name := fmt.Sprintf("matmulTile%dAVX2", rows)
		function(c, name, "func(c *float32, cRow int, a *float32, aRow, aStep int, b *float32, n, add int)",
			fmt.Sprintf("%s sets c [%d, 16], its rows cRow elements apart, or adds to it where add is not 0,", name, rows),
			fmt.Sprintf("the product of a [%d, n], elements aRow and aStep apart, and b [n, 16]: chains of", rows),
			"FMA over n > 0.")
		out, cRow := pointer(c, "c"), integer(c, "cRow")
		a, aRow, aStep := pointer(c, "a"), integer(c, "aRow"), integer(c, "aStep")
		b, n := pointer(c, "b"), integer(c, "n")
		for _, elements := range []reg.GPVirtual{cRow, aRow, aStep} {
			c.SHLQ(operand.U8(2), elements)
		}
		// row r of a matrix stands at one of two pointers, plus 0, 1 or 2 rows.
		third := func(p, row reg.GPVirtual) reg.GPVirtual {
			q := c.GP64()
			c.LEAQ(operand.Mem{Base: p, Index: row, Scale: 2}, q)
			c.ADDQ(row, q)
			return q
		}
		a3, out3 := third(a, aRow), third(out, cRow)
		in := func(p, p3, row reg.GPVirtual, r int) operand.Mem {
			m := operand.Mem{Base: p}
			if r >= 3 {
				m.Base = p3
			}
			if r%3 > 0 {
				m.Index, m.Scale = row, uint8(r%3)
			}
			return m
		}
		var acc [6][cols]reg.VecVirtual
		for r := range rows {
			for v := range cols {
				acc[r][v] = zeroed(c)
			}
		}
		c.Label("step")
		var bv [cols]reg.VecVirtual
		for v := range cols {
			bv[v] = c.YMM()
			c.VMOVUPS(at(b, 32*v), bv[v])
		}
		for r := range rows {
			x := c.YMM()
			c.VBROADCASTSS(in(a, a3, aRow, r), x)
			for v := range cols {
				c.VFMADD231PS(bv[v], x, acc[r][v])
			}
		}
		c.ADDQ(operand.U8(32*cols), b)
		c.ADDQ(aStep, a)
		if rows > 3 {
			c.ADDQ(aStep, a3)
		}
		c.DECQ(n)
		c.JNZ(operand.LabelRef("step"))

		add := integer(c, "add")
		c.TESTQ(add, add)
		c.JZ(operand.LabelRef("store"))
		for r := range rows {
			for v := range cols {
				c.VADDPS(in(out, out3, cRow, r).Offset(32*v), acc[r][v], acc[r][v])
			}
		}
		c.Label("store")
		for r := range rows {
			for v := range cols {
				c.VMOVUPS(acc[r][v], in(out, out3, cRow, r).Offset(32*v))
			}
		}
		c.VZEROUPPER()
		c.RET()
	}
}
