package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// turnKeysAVX2 writes turnKeys4AVX2 and turnKeys8AVX2: sixteen bytes of each of eight
// keys at a time, four keys in each half of the registers, whose dwords are transposed
// within the halves. Packed bytes turn before their nibbles part.
func turnKeysAVX2(c *build.Context) {
	vectorData(c, "turnNibble", 0x0f0f0f0f)
	for _, bits := range []int{4, 8} {
		name := fmt.Sprintf("turnKeys%dAVX2", bits)
		begin(c, name, "func(dst, src []uint8, dim int)", fmt.Sprintf("turnKeys%dAVX512, of int8s as they are.", bits))
		low, k, size, end := base(c, "dst"), base(c, "src"), integer(c, "dim"), length(c, "src")
		c.ADDQ(k, end)
		mask, high := c.YMM(), c.GP64()
		if bits == 4 {
			c.VMOVDQU(data("turnNibble"), mask)
			c.SHRQ(operand.U8(1), size)
		}
		keys := newEight(c, size)

		c.Label("keys")
		if bits == 4 { // sixteen keys' lower half
			c.MOVQ(size, high)
			c.SHLQ(operand.U8(4), high)
			c.ADDQ(low, high)
		}
		half := c.GP64()
		c.MOVQ(operand.U32(2), half)
		c.Label("half")
		keys.start(c, k)
		left, to, toHigh := c.GP64(), c.GP64(), c.GP64()
		c.MOVQ(size, left)
		c.MOVQ(low, to)
		if bits == 4 {
			c.MOVQ(high, toHigh)
		}
		c.Label("bytes")
		for j, y := range turn8(c, keys) {
			if bits == 4 {
				h := c.YMM()
				c.VPSRLW(operand.U8(4), y, h)
				c.VPAND(mask, h, h)
				c.VMOVDQU(h, at(toHigh, 64*j))
				c.VPAND(mask, y, y)
			}
			c.VMOVDQU(y, at(to, 64*j))
		}
		keys.advance(c, 16)
		c.ADDQ(operand.U32(256), to)
		if bits == 4 {
			c.ADDQ(operand.U32(256), toHigh)
		}
		c.SUBQ(operand.U8(16), left)
		c.JNZ(operand.LabelRef("bytes"))
		c.LEAQ(operand.Mem{Base: k, Index: size, Scale: 8}, k)
		c.ADDQ(operand.U8(32), low)
		if bits == 4 {
			c.ADDQ(operand.U8(32), high)
		}
		c.DECQ(half)
		c.JNZ(operand.LabelRef("half"))

		if bits == 4 {
			c.LEAQ(operand.Mem{Base: toHigh, Disp: -32}, low)
		} else {
			c.LEAQ(operand.Mem{Base: to, Disp: -32}, low)
		}
		c.CMPQ(k, end)
		c.JLT(operand.LabelRef("keys"))
		ret(c)
	}
}

// turn8 returns four registers, of a dword of each of eight keys.
func turn8(c *build.Context, keys eight) [4]reg.VecVirtual {
	var y, t [4]reg.VecVirtual
	for i := range y {
		y[i], t[i] = c.YMM(), c.YMM()
		c.VMOVDQU(keys.row(i, 0), y[i].AsX())
		c.VINSERTI128(operand.U8(1), keys.row(i+4, 0), y[i], y[i])
	}
	transpose(c, y, t)
	return y
}

// transpose turns each 16 bytes of x, four rows of dwords, by way of t.
func transpose(c *build.Context, x, t [4]reg.VecVirtual) {
	c.VPUNPCKLDQ(x[1], x[0], t[0])
	c.VPUNPCKHDQ(x[1], x[0], t[1])
	c.VPUNPCKLDQ(x[3], x[2], t[2])
	c.VPUNPCKHDQ(x[3], x[2], t[3])
	c.VPUNPCKLQDQ(t[2], t[0], x[0])
	c.VPUNPCKHQDQ(t[2], t[0], x[1])
	c.VPUNPCKLQDQ(t[3], t[1], x[2])
	c.VPUNPCKHQDQ(t[3], t[1], x[3])
}
