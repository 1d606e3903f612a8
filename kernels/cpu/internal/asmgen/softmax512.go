package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exp512 is fp.Exp of sixteen lanes, its constants in registers.
type exp512 struct {
	lo, hi, log2E, ln2Hi, ln2Lo, one reg.VecVirtual
	poly                             []reg.VecVirtual // highest first
}

func newExp512(c *build.Context) exp512 {
	load := func(name string) reg.VecVirtual { return broadcast512(c, data(name)) }
	e := exp512{load("expLo"), load("expHi"), load("expLog2E"), load("expNegLn2Hi"), load("expNegLn2Lo"), load("expOne"), nil}
	for _, name := range []string{"expC5", "expC4", "expC3", "expC2", "expC1", "expC0"} {
		e.poly = append(e.poly, load(name))
	}
	return e
}

// of returns the exponentials of x's lanes; x is overwritten.
func (e exp512) of(c *build.Context, x reg.VecVirtual) reg.VecVirtual {
	keep, n, r2, p := c.K(), c.ZMM(), c.ZMM(), c.ZMM()
	c.VCMPPS(operand.U8(13), e.lo, x, keep) // x >= ExpLo
	c.VMINPS(e.hi, x, x)
	c.VMULPS(e.log2E, x, n)
	c.VCVTPS2DQ(n, n)
	nf := r2
	c.VCVTDQ2PS(n, nf)
	c.VFMADD231PS(e.ln2Hi, nf, x)
	c.VFMADD231PS(e.ln2Lo, nf, x)
	r := x
	c.VMOVAPS(e.poly[0], p)
	for _, k := range e.poly[1:] {
		c.VFMADD213PS(k, r, p)
	}
	c.VMULPS(r, r, r2)
	c.VFMADD213PS(r, r2, p)
	c.VADDPS(e.one, p, p)
	c.VPSLLD(operand.U8(23), n, n)
	c.VPADDD_Z(n, p, keep, p)
	return p
}

// softmax512 writes softmaxAVX512: a row's maximum, then everything else in one
// pass. Sums have eight lanes, as everywhere: the lower half goes first.
func softmax512(c *build.Context) {
	expData(c)
	vectorData(c, "softmaxNegInf", math.Float32bits(float32(math.Inf(-1))))
	begin(c, "softmaxAVX512", "func(s, scale, zero, m, l, c []float32)", "attentionKernels.softmax.")
	s, scale, zero, n := base(c, "s"), base(c, "scale"), base(c, "zero"), length(c, "scale")
	m, l, corr, rows := base(c, "m"), base(c, "l"), base(c, "c"), length(c, "m")
	e := newExp512(c)

	c.Label("rows")
	top := broadcast512(c, data("softmaxNegInf"))
	each(c, "max", n, 16, func(i reg.GPVirtual) {
		c.VMAXPS(indexed(s, i, 4), top, top)
	})
	x := foldMax512(c, top)
	c.VMOVSS(x, operand.Mem{Base: m})
	c.VBROADCASTSS(x, top)

	sum, corrs := zeroed(c), zeroed(c)
	each(c, "exp", n, 16, func(i reg.GPVirtual) {
		x, high := c.ZMM(), c.YMM()
		c.VMOVUPS(indexed(s, i, 4), x)
		c.VSUBPS(top, x, x)
		x = e.of(c, x)
		c.VEXTRACTF32X8(operand.U8(1), x, high)
		for half, y := range []reg.VecVirtual{x.AsY().(reg.VecVirtual), high} {
			c.VADDPS(y, sum, sum)
			c.VFMADD231PS(indexed(zero, i, 4).Offset(32*half), y, corrs)
		}
		c.VMULPS(indexed(scale, i, 4), x, x)
		c.VMOVUPS(x, indexed(s, i, 4))
	})
	for _, v := range []struct {
		y  reg.VecVirtual
		to reg.GPVirtual
	}{{sum, l}, {corrs, corr}} {
		x := fold(c, v.y, func(o, x reg.VecVirtual) { c.VADDPS(o, x, x) })
		c.VMOVSS(x, operand.Mem{Base: v.to})
	}
	c.ADDQ(operand.U32(splitBytes), s)
	for _, p := range []reg.GPVirtual{m, l, corr} {
		c.ADDQ(operand.U8(4), p)
	}
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("rows"))
	ret(c)
}

func foldMax512(c *build.Context, z reg.VecVirtual) reg.VecVirtual {
	h := c.YMM()
	c.VEXTRACTF32X8(operand.U8(1), z, h)
	c.VMAXPS(z.AsY(), h, h)
	return fold(c, h, func(o, x reg.VecVirtual) { c.VMAXPS(o, x, x) })
}

// weigh512 writes weighAVX512: a row's maximum, then its integers, sixteen at a time.
func weigh512(c *build.Context) {
	vectorData(c, "weighMax", math.Float32bits(weightMax))
	vectorData(c, "weighUnit", math.Float32bits(1.0/weightMax))
	vectorData(c, "weighTiny", math.Float32bits(0x1p-100))
	vectorData(c, "weighSeven", 127)
	begin(c, "weighAVX512", "func(p []uint8, s, unit []float32, n int)", "valueKernels.weigh.")
	p, s, unit, rows, n := base(c, "p"), base(c, "s"), base(c, "unit"), length(c, "unit"), integer(c, "n")
	mask := c.ZMM()
	c.VPBROADCASTD(data("weighSeven"), mask)

	c.Label("rows")
	top := c.ZMM()
	c.VPXORD(top, top, top)
	each(c, "max", n, 16, func(i reg.GPVirtual) {
		c.VMAXPS(indexed(s, i, 4), top, top)
	})
	x := foldMax512(c, top)
	inv, u := c.XMM(), c.XMM()
	c.VMOVSS(data("weighMax"), inv)
	c.VDIVSS(x, inv, inv)
	c.VMULSS(data("weighUnit"), x, u)
	c.VCMPSS(operand.U8(13), data("weighTiny"), x, x) // all ones where top >= weightTiny
	c.VANDPS(x, inv, inv)
	c.VANDPS(x, u, u)
	c.VMOVSS(u, operand.Mem{Base: unit})
	factor := c.ZMM()
	c.VBROADCASTSS(inv, factor)
	each(c, "round", n, 16, func(i reg.GPVirtual) {
		q, low := c.ZMM(), c.ZMM()
		c.VMULPS(indexed(s, i, 4), factor, q)
		c.VCVTPS2DQ(q, q)
		c.VPANDD(mask, q, low)
		c.VPSRLD(operand.U8(7), q, q)
		c.VPMOVDB(q, indexed(p, i, 1))
		c.VPMOVDB(low, indexed(p, i, 1).Offset(planesBytes/2))
	})
	c.ADDQ(operand.U32(planesBytes), p)
	c.ADDQ(operand.U32(splitBytes), s)
	c.ADDQ(operand.U8(4), unit)
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("rows"))
	ret(c)
}

const weightMax = 1<<14 - 1 // cpu.weightMax
