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

	addIntsVNNI(c)

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
