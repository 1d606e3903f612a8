package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// addValues writes addValuesAVX2, mergeAVX2 and divideAVX2. Sums stay in
// registers for all values: four rows by 16 elements, and what rows are left one by
// one, 64 or 32 elements. Either way eight chains of FMAs hide their latency.
func addValues(c *build.Context) {
	begin(c, "addValuesAVX2", "func(o, p, v []float32, n, dim int)", "attentionKernels.addValues.")
	o, p, v, n, dim := base(c, "o"), base(c, "p"), base(c, "v"), integer(c, "n"), integer(c, "dim")
	left := length(c, "o") // bytes
	c.SHLQ(operand.U8(2), left)
	c.SHLQ(operand.U8(2), dim)
	dim3, four := c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: dim, Index: dim, Scale: 2}, dim3)
	c.MOVQ(dim, four)
	c.SHLQ(operand.U8(2), four)

	c.Label("rows4")
	c.CMPQ(left, four)
	c.JLT(operand.LabelRef("rows1"))
	chunk := c.GP64() // bytes left of a row
	c.MOVQ(dim, chunk)
	c.Label("chunk4")
	addTile(c, "tile4", o, p, v, n, dim, 4, 2, func(r int) operand.Mem {
		switch r {
		case 0:
			return operand.Mem{Base: o}
		case 3:
			return operand.Mem{Base: o, Index: dim3, Scale: 1}
		}
		return operand.Mem{Base: o, Index: dim, Scale: uint8(r)}
	})
	c.ADDQ(operand.U8(64), o)
	c.ADDQ(operand.U8(64), v)
	c.SUBQ(operand.U8(64), chunk)
	c.JNZ(operand.LabelRef("chunk4"))
	c.SUBQ(dim, v)
	c.ADDQ(dim3, o)
	c.ADDQ(operand.U32(4*splitBytes), p)
	c.SUBQ(four, left)
	c.JMP(operand.LabelRef("rows4"))

	c.Label("rows1")
	c.TESTQ(left, left)
	c.JZ(operand.LabelRef("done"))
	c.MOVQ(dim, chunk)
	for _, vectors := range []int{8, 4} {
		loop, next := fmt.Sprintf("chunk1x%d", vectors), fmt.Sprintf("end1x%d", vectors)
		c.Label(loop)
		c.CMPQ(chunk, operand.U32(32*vectors))
		c.JLT(operand.LabelRef(next))
		addTile(c, fmt.Sprintf("tile1x%d", vectors), o, p, v, n, dim, 1, vectors, func(int) operand.Mem { return operand.Mem{Base: o} })
		c.ADDQ(operand.U32(32*vectors), o)
		c.ADDQ(operand.U32(32*vectors), v)
		c.SUBQ(operand.U32(32*vectors), chunk)
		c.JMP(operand.LabelRef(loop))
		c.Label(next)
	}
	c.SUBQ(dim, v)
	c.ADDQ(operand.U32(splitBytes), p)
	c.SUBQ(dim, left)
	c.JMP(operand.LabelRef("rows1"))
	c.Label("done")
	ret(c)

	begin(c, "mergeAVX2", "func(o, part []float32, a, b, c float32)", "attentionKernels.merge.")
	o, part, n := base(c, "o"), base(c, "part"), length(c, "o")
	a, b, corr := broadcast(c, "a"), broadcast(c, "b"), broadcast(c, "c")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		x := c.YMM()
		c.VADDPS(indexed(part, i, 4), corr, x)
		c.VMULPS(b, x, x)
		c.VFMADD231PS(indexed(o, i, 4), a, x)
		c.VMOVUPS(x, indexed(o, i, 4))
	})
	ret(c)

	begin(c, "divideAVX2", "func(out, o []float32, l float32)", "attentionKernels.divide.")
	out, o, n := base(c, "out"), base(c, "o"), length(c, "o")
	l, zero := broadcast(c, "l"), zeroed(c)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		x := c.YMM()
		c.VMOVUPS(indexed(o, i, 4), x)
		c.VDIVPS(l, x, x)
		c.VADDPS(zero, x, x)
		c.VMOVUPS(x, indexed(out, i, 4))
	})
	ret(c)
}

// addTile adds n values to rows x vectors·8 sums.
func addTile(c *build.Context, label string, o, p, v, n, dim reg.GPVirtual, rows, vectors int, row func(r int) operand.Mem) {
	acc := grid(rows, vectors, func() reg.VecVirtual { return c.YMM() })
	for r := range rows {
		for i := range vectors {
			c.VMOVUPS(row(r).Offset(32*i), acc[r][i])
		}
	}
	value := c.GP64()
	c.MOVQ(v, value)
	each(c, label, n, 1, func(t reg.GPVirtual) {
		var x []reg.VecVirtual
		if rows > 1 {
			for i := range vectors {
				x = append(x, c.YMM())
				c.VMOVUPS(operand.Mem{Base: value, Disp: 32 * i}, x[i])
			}
		}
		for r := range rows {
			w := c.YMM()
			c.VBROADCASTSS(operand.Mem{Base: p, Index: t, Scale: 4, Disp: r * splitBytes}, w)
			for i := range vectors {
				if rows > 1 {
					c.VFMADD231PS(x[i], w, acc[r][i])
				} else {
					c.VFMADD231PS(operand.Mem{Base: value, Disp: 32 * i}, w, acc[r][i])
				}
			}
		}
		c.ADDQ(dim, value)
	})
	for r := range rows {
		for i := range vectors {
			c.VMOVUPS(acc[r][i], row(r).Offset(32*i))
		}
	}
}
