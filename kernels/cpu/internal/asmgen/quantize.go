package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quantize writes absMaxAVX2, minMaxAVX2 and quantizeAVX2.
func quantize(c *build.Context) {
	vectorData(c, "quantAbs", math.MaxInt32)
	vectorData(c, "quantSign", 1<<31)
	absMax(c)
	minMax(c)

	begin(c, "quantizeAVX2", "func(q []int8, x []float32, scale, zero, qmax float32) int32", "rowKernels.quantize.")
	q, x, n := base(c, "q"), base(c, "x"), length(c, "x")
	r := newRounding(c, broadcast(c, "qmax"))
	sum := zeroed(c)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v, hi := r.round(c, indexed(x, i, 4)), c.XMM()
		c.VPADDD(v, sum, sum)
		c.VEXTRACTI128(operand.U8(1), v, hi)
		c.VPACKSSDW(hi, v.AsX(), hi)
		c.VPACKSSWB(hi, hi, hi)
		c.VMOVQ(hi, indexed(q, i, 1))
	})
	s := fold(c, sum, func(o, x reg.VecVirtual) { c.VPADDD(o, x, x) })
	total := c.GP32()
	c.VMOVD(s, total)
	c.Store(total, c.ReturnIndex(0))
	ret(c)
}

// rounding holds what turns floats into integers: (x-zero)/scale, clamped to
// lo..hi, then rounded half to even by VCVTPS2DQ.
type rounding struct{ scale, zero, lo, hi reg.VecVirtual }

// newRounding loads the parameters scale and zero. Without bounds, lo and hi, the
// range is -hi..hi.
func newRounding(c *build.Context, hi reg.VecVirtual) rounding {
	r := rounding{scale: broadcast(c, "scale"), zero: broadcast(c, "zero"), lo: c.YMM(), hi: hi}
	c.VXORPS(data("quantSign"), hi, r.lo)
	return r
}

func (r rounding) round(c *build.Context, x operand.Mem) reg.VecVirtual {
	v := c.YMM()
	c.VMOVUPS(x, v)
	c.VSUBPS(r.zero, v, v)
	c.VDIVPS(r.scale, v, v)
	c.VMAXPS(r.lo, v, v)
	c.VMINPS(r.hi, v, v)
	c.VCVTPS2DQ(v, v)
	return v
}

// absMax: the bits of |x| order as integers.
func absMax(c *build.Context) {
	begin(c, "absMaxAVX2", "func(x []float32) float32", "rowKernels.absMax.")
	x, n := base(c, "x"), length(c, "x")
	abs, m := c.YMM(), zeroed(c)
	c.VMOVDQU(data("quantAbs"), abs)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VPAND(indexed(x, i, 4), abs, v)
		c.VPMAXUD(v, m, m)
	})
	s := fold(c, m, func(o, x reg.VecVirtual) { c.VPMAXUD(o, x, x) })
	result(c, 0, s)
	ret(c)
}

// minMax: negative floats have their bits but the sign inverted, and then order
// as integers; the same inverts it back.
func minMax(c *build.Context) {
	begin(c, "minMaxAVX2", "func(x []float32) (lo, hi float32)", "rowKernels.minMax.")
	x, n := base(c, "x"), length(c, "x")
	order := func(v reg.VecVirtual) {
		t := c.YMM()
		c.VPSRAD(operand.U8(31), v, t)
		c.VPAND(data("quantAbs"), t, t)
		c.VPXOR(t, v, v)
	}
	lo, hi := c.YMM(), c.YMM()
	c.VMOVDQU(data("quantAbs"), lo)
	c.VMOVDQU(data("quantSign"), hi)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMOVDQU(indexed(x, i, 4), v)
		order(v)
		c.VPMINSD(v, lo, lo)
		c.VPMAXSD(v, hi, hi)
	})
	l := fold(c, lo, func(o, x reg.VecVirtual) { c.VPMINSD(o, x, x) })
	h := fold(c, hi, func(o, x reg.VecVirtual) { c.VPMAXSD(o, x, x) })
	order(lo)
	order(hi)
	result(c, 0, l)
	result(c, 1, h)
	ret(c)
}
