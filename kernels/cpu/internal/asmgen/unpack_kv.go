package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// unpackKV writes the loops of unpackKernels.
func unpackKV(c *build.Context) {
	vectorData(c, "unpackLow", 15)

	begin(c, "unpack4AVX2", "func(dst []float32, src []uint8, dim int, off float32)", "unpackKernels.unpack4.")
	low, off := c.YMM(), broadcast(c, "off")
	c.VMOVDQU(data("unpackLow"), low)
	unpackHalves(c, 4, 8, func(src, lo, hi operand.Mem) {
		a, b := c.YMM(), c.YMM()
		c.VPMOVZXBD(src, a)
		c.VPSRLD(operand.U8(4), a, b)
		c.VPAND(low, a, a)
		for _, v := range []struct {
			y  reg.VecVirtual
			to operand.Mem
		}{{a, lo}, {b, hi}} {
			c.VCVTDQ2PS(v.y, v.y)
			c.VSUBPS(off, v.y, v.y)
			c.VMOVUPS(v.y, v.to)
		}
	})

	begin(c, "unpack8AVX2", "func(dst []float32, src []uint8)", "unpackKernels.unpack8.")
	dst, src, n := base(c, "dst"), base(c, "src"), length(c, "src")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VPMOVSXBD(indexed(src, i, 1), v)
		c.VCVTDQ2PS(v, v)
		c.VMOVUPS(v, indexed(dst, i, 4))
	})
	ret(c)

	begin(c, "unpack16AVX2", "func(dst []float32, src []uint16)", "unpackKernels.unpack16.")
	dst, src, n = base(c, "dst"), base(c, "src"), length(c, "src")
	eachOf(c, "loop", n, []int{32, 8}, func(i reg.GPVirtual, step int) {
		for j := 0; j < step; j += 8 {
			v := c.YMM()
			c.VCVTPH2PS(indexed(src, i, 2).Offset(2*j), v)
			c.VMOVUPS(v, indexed(dst, i, 4).Offset(4*j))
		}
	})
	ret(c)

	begin(c, "affineAVX2", "func(x []float32, scale, zero float32)", "unpackKernels.affine.")
	x, n := base(c, "x"), length(c, "x")
	scale, zero := broadcast(c, "scale"), broadcast(c, "zero")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMULPS(indexed(x, i, 4), scale, v)
		c.VADDPS(zero, v, v)
		c.VMOVUPS(v, indexed(x, i, 4))
	})
	ret(c)
}

// prefetch writes prefetchAMD64.
func prefetch(c *build.Context) {
	begin(c, "prefetchAMD64", "func(b []byte)", "attentionKernels.prefetch.")
	b, n := base(c, "b"), length(c, "b")
	each(c, "lines", n, 64, func(i reg.GPVirtual) { c.PREFETCHT1(indexed(b, i, 1)) })
	c.RET()
}

// unpackHalves emits the loops over packed vectors: body gets step bytes of src
// and where their low and high nibbles go, elements of size bytes.
func unpackHalves(c *build.Context, size uint8, step int, body func(src, lo, hi operand.Mem)) {
	dst, src, n, dim := base(c, "dst"), base(c, "src"), length(c, "src"), integer(c, "dim")
	half, end, high := c.GP64(), c.GP64(), c.GP64()
	c.MOVQ(dim, half)
	c.SHRQ(operand.U8(1), half)
	c.LEAQ(operand.Mem{Base: src, Index: n, Scale: 1}, end)
	c.Label("vectors")
	c.CMPQ(src, end)
	c.JGE(operand.LabelRef("done"))
	c.LEAQ(operand.Mem{Base: dst, Index: half, Scale: size}, high)
	each(c, "half", half, step, func(i reg.GPVirtual) {
		body(indexed(src, i, 1), indexed(dst, i, size), indexed(high, i, size))
	})
	c.ADDQ(half, src)
	c.LEAQ(operand.Mem{Base: dst, Index: dim, Scale: size}, dst)
	c.JMP(operand.LabelRef("vectors"))
	c.Label("done")
	ret(c)
}
