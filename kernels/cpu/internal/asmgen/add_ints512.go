package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// addInts512 writes the loops of valueKernels for integer values.
func addInts512(c *build.Context) {
	vectorData(c, "quadsNibble", 0x0f0f0f0f)
	every4(c)
	quads512(c, 4)
	quads512(c, 8)

	begin(c, "addIntsVNNI", "func(o []int32, p []uint8, v []int8, n, dim int)", "valueKernels.addInts4 and addInts8: four products at a time, exact in int32.")
	o, p, v, n, dim := base(c, "o"), base(c, "p"), base(c, "v"), integer(c, "n"), integer(c, "dim")
	left := length(c, "o") // bytes, as dim from here on
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
	addIntsTile(c, "tile4", o, p, v, n, dim, 4, 2, func(r int) operand.Mem {
		switch r {
		case 0:
			return operand.Mem{Base: o}
		case 3:
			return operand.Mem{Base: o, Index: dim3, Scale: 1}
		}
		return operand.Mem{Base: o, Index: dim, Scale: uint8(r)}
	})
	c.SUBQ(operand.I32(-128), o)
	c.SUBQ(operand.I32(-128), v)
	c.ADDQ(operand.I32(-128), chunk)
	c.JNZ(operand.LabelRef("chunk4"))
	c.SUBQ(dim, v)
	c.ADDQ(dim3, o)
	c.ADDQ(operand.U32(4*planesBytes), p)
	c.SUBQ(four, left)
	c.JMP(operand.LabelRef("rows4"))

	c.Label("rows1")
	c.TESTQ(left, left)
	c.JZ(operand.LabelRef("done"))
	c.MOVQ(dim, chunk)
	for _, vectors := range []int{4, 2} {
		loop, next := fmt.Sprintf("chunk1x%d", vectors), fmt.Sprintf("end1x%d", vectors)
		c.Label(loop)
		c.CMPQ(chunk, operand.U32(64*vectors))
		c.JLT(operand.LabelRef(next))
		addIntsTile(c, fmt.Sprintf("tile1x%d", vectors), o, p, v, n, dim, 1, vectors, func(int) operand.Mem { return operand.Mem{Base: o} })
		c.ADDQ(operand.U32(64*vectors), o)
		c.ADDQ(operand.U32(64*vectors), v)
		c.SUBQ(operand.U32(64*vectors), chunk)
		c.JMP(operand.LabelRef(loop))
		c.Label(next)
	}
	c.SUBQ(dim, v)
	c.ADDQ(operand.U32(planesBytes), p)
	c.SUBQ(dim, left)
	c.JMP(operand.LabelRef("rows1"))
	c.Label("done")
	ret(c)

	begin(c, "scaleIntsAVX512", "func(o []float32, sums []int32, unit float32)", "valueKernels.scaleInts.")
	to, sums, count, unit := base(c, "o"), base(c, "sums"), length(c, "o"), broadcast512(c, param(c, "unit"))
	each(c, "loop", count, 16, func(i reg.GPVirtual) {
		x := c.ZMM()
		c.VCVTDQ2PS(indexed(sums, i, 4), x)
		c.VMULPS(unit, x, x)
		c.VMOVUPS(x, indexed(to, i, 4))
	})
	ret(c)
}

// every4 emits the bytes 0, 4, 8, 12, 1, 5 and so on.
func every4(c *build.Context) {
	c.StaticGlobal("quadsEvery4")
	c.DataAttributes(attr.NOPTR | attr.RODATA)
	for i := range 16 {
		c.AppendDatum(operand.U8(i%4*4 + i/4))
	}
}

// planesBytes is the distance of rows of integer weights, two planes of
// cpu.splitTokens bytes.
const planesBytes = 2 * 256

// addIntsTile adds n values to rows x vectors·16 sums: upper and lower plane each
// have their own.
func addIntsTile(c *build.Context, label string, o, p, v, n, dim reg.GPVirtual, rows, vectors int, row func(r int) operand.Mem) {
	var acc [2][][]reg.VecVirtual
	for plane := range acc {
		acc[plane] = grid(rows, vectors, func() reg.VecVirtual { return zeroed512(c) })
	}
	value := c.GP64()
	c.MOVQ(v, value)
	each(c, label, n, 4, func(t reg.GPVirtual) {
		x := make([]reg.VecVirtual, vectors)
		for i := range x {
			x[i] = c.ZMM()
			c.VMOVDQU32(operand.Mem{Base: value, Disp: 64 * i}, x[i])
		}
		for r := range rows {
			for plane := range acc {
				w := c.ZMM()
				c.VPBROADCASTD(operand.Mem{Base: p, Index: t, Scale: 1, Disp: r*planesBytes + plane*planesBytes/2}, w)
				for i := range x {
					c.VPDPBUSD(x[i], w, acc[plane][r][i])
				}
			}
		}
		c.ADDQ(dim, value)
	})
	for r := range rows {
		for i := range vectors {
			z := acc[0][r][i]
			c.VPSLLD(operand.U8(7), z, z)
			c.VPADDD(acc[1][r][i], z, z)
			c.VPADDD(row(r).Offset(64*i), z, z)
			c.VMOVDQU32(z, row(r).Offset(64*i))
		}
	}
}

// quads512 writes quads4AVX512 or quads8AVX512. Sixteen bytes of four values are a
// register: its dwords are dealt to the lanes and its bytes within them by the same
// pattern, every fourth.
func quads512(c *build.Context, bits int) {
	name, signature := fmt.Sprintf("quads%d", bits), "func(v []int8, src []uint8, dim int)"
	if bits == 4 {
		signature = "func(v []int8, src []uint8, dim int, off int8)"
	}
	begin(c, name+"AVX512", signature, "valueKernels."+name+".")
	v, src, end, dim := base(c, "v"), base(c, "src"), length(c, "src"), integer(c, "dim")
	c.LEAQ(operand.Mem{Base: src, Index: end, Scale: 1}, end)
	dwords, bytes := c.ZMM(), c.ZMM()
	c.VPMOVZXBD(data("quadsEvery4"), dwords)
	c.VBROADCASTI32X4(data("quadsEvery4"), bytes)
	var mask, off reg.VecVirtual
	size := dim
	if bits == 4 {
		mask, off = c.ZMM(), c.ZMM()
		c.VBROADCASTSS(data("quadsNibble"), mask)
		c.VPBROADCASTB(param(c, "off"), off)
		size = c.GP64()
		c.MOVQ(dim, size)
		c.SHRQ(operand.U8(1), size)
	}
	size3 := c.GP64()
	c.LEAQ(operand.Mem{Base: size, Index: size, Scale: 2}, size3)

	c.Label("four")
	c.CMPQ(src, end)
	c.JGE(operand.LabelRef("done"))
	left := c.GP64()
	c.MOVQ(size, left)
	high := c.GP64()
	c.LEAQ(operand.Mem{Base: v, Index: dim, Scale: 2}, high)
	c.Label("bytes")
	z := c.ZMM()
	c.VMOVDQU(operand.Mem{Base: src}, z.AsX())
	c.VINSERTI32X4(operand.U8(1), operand.Mem{Base: src, Index: size, Scale: 1}, z, z)
	c.VINSERTI32X4(operand.U8(2), operand.Mem{Base: src, Index: size, Scale: 2}, z, z)
	c.VINSERTI32X4(operand.U8(3), operand.Mem{Base: src, Index: size3, Scale: 1}, z, z)
	c.VPERMD(z, dwords, z)
	c.VPSHUFB(bytes, z, z)
	if bits == 4 {
		lo := c.ZMM()
		c.VPANDD(mask, z, lo)
		c.VPSUBB(off, lo, lo)
		c.VMOVDQU32(lo, operand.Mem{Base: v})
		c.VPSRLW(operand.U8(4), z, z)
		c.VPANDD(mask, z, z)
		c.VPSUBB(off, z, z)
		c.VMOVDQU32(z, operand.Mem{Base: high})
		c.ADDQ(operand.U8(64), high)
	} else {
		c.VMOVDQU32(z, operand.Mem{Base: v})
	}
	c.ADDQ(operand.U8(64), v)
	c.ADDQ(operand.U8(16), src)
	c.SUBQ(operand.U8(16), left)
	c.JNZ(operand.LabelRef("bytes"))
	c.ADDQ(size3, src)
	if bits == 4 {
		c.LEAQ(operand.Mem{Base: v, Index: dim, Scale: 2}, v)
	}
	c.JMP(operand.LabelRef("four"))
	c.Label("done")
	ret(c)
}
