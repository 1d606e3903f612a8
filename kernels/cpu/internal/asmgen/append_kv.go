package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// appendKV writes store4AVX2 and store16AVX2.
func appendKV(c *build.Context) {
	begin(c, "store4AVX2", "func(dst []uint8, x []float32, scale, zero, lo, hi, off float32)", "storeKernels.store4.")
	dst, x, n := base(c, "dst"), base(c, "x"), length(c, "dst")
	r := rounding{broadcast(c, "scale"), broadcast(c, "zero"), broadcast(c, "lo"), broadcast(c, "hi")}
	off := broadcast(c, "off")
	c.VCVTPS2DQ(off, off)
	x2 := c.GP64()
	c.LEAQ(operand.Mem{Base: x, Index: n, Scale: 4}, x2)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		a, b, hi := r.round(c, indexed(x, i, 4)), r.round(c, indexed(x2, i, 4)), c.XMM()
		c.VPADDD(off, a, a)
		c.VPADDD(off, b, b)
		c.VPSLLD(operand.U8(4), b, b)
		c.VPOR(b, a, a)
		c.VEXTRACTI128(operand.U8(1), a, hi)
		c.VPACKUSDW(hi, a.AsX(), hi)
		c.VPACKUSWB(hi, hi, hi)
		c.VMOVQ(hi, indexed(dst, i, 1))
	})
	ret(c)

	begin(c, "store16AVX2", "func(dst []uint16, x []float32)", "storeKernels.store16.")
	dst, x, n = base(c, "dst"), base(c, "x"), length(c, "dst")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMOVUPS(indexed(x, i, 4), v)
		c.VCVTPS2PH(operand.U8(0), v, indexed(dst, i, 2)) // 0: to nearest, ties to even
	})
	ret(c)
}
