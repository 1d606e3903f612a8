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

// of sets each of x to the exponentials of its lanes, step by step for all of them:
// a chain of twenty operations keeps the pipes busy only beside others.
func (e exp512) of(c *build.Context, x []reg.VecVirtual) {
	keep, n, r2, p := make([]reg.Register, len(x)), vectors512(c, len(x)), vectors512(c, len(x)), vectors512(c, len(x))
	all := func(op func(i int)) {
		for i := range x {
			op(i)
		}
	}
	all(func(i int) {
		keep[i] = c.K()
		c.VCMPPS(operand.U8(13), e.lo, x[i], keep[i]) // x >= ExpLo
	})
	all(func(i int) { c.VMINPS(e.hi, x[i], x[i]) })
	all(func(i int) { c.VMULPS(e.log2E, x[i], n[i]) })
	all(func(i int) { c.VCVTPS2DQ(n[i], n[i]) })
	all(func(i int) { c.VCVTDQ2PS(n[i], r2[i]) }) // n as floats, for now
	all(func(i int) { c.VFMADD231PS(e.ln2Hi, r2[i], x[i]) })
	all(func(i int) { c.VFMADD231PS(e.ln2Lo, r2[i], x[i]) }) // r
	all(func(i int) { c.VMOVAPS(e.poly[0], p[i]) })
	for _, k := range e.poly[1:] {
		all(func(i int) { c.VFMADD213PS(k, x[i], p[i]) })
	}
	all(func(i int) { c.VMULPS(x[i], x[i], r2[i]) })
	all(func(i int) { c.VFMADD213PS(x[i], r2[i], p[i]) })
	all(func(i int) { c.VADDPS(e.one, p[i], p[i]) })
	all(func(i int) { c.VPSLLD(operand.U8(23), n[i], n[i]) })
	all(func(i int) { c.VPADDD_Z(n[i], p[i], keep[i], x[i]) })
}

func vectors512(c *build.Context, n int) []reg.VecVirtual { return grid(1, n, c.ZMM)[0] }

// softmax512 writes softmaxAVX512: the rows' maxima, whose latencies overlap, then
// everything else in one pass. Sums have eight lanes, as everywhere: the lower half goes first.
func softmax512(c *build.Context) {
	expData(c)
	vectorData(c, "softmaxNegInf", math.Float32bits(float32(math.Inf(-1))))
	begin(c, "softmaxAVX512", "func(s, scale, zero, m, l, c []float32)", "attentionKernels.softmax.")
	s, scale, zero, n := base(c, "s"), base(c, "scale"), base(c, "zero"), length(c, "scale")
	m, rows, row := base(c, "m"), length(c, "m"), c.GP64()
	e := newExp512(c)

	c.MOVQ(s, row)
	each(c, "tops", rows, 1, func(i reg.GPVirtual) {
		x := rowMax512(c, "max", row, n, data("softmaxNegInf"))
		c.VMOVSS(x, indexed(m, i, 4))
		c.ADDQ(operand.U32(splitBytes), row)
	})

	l, corr := base(c, "l"), base(c, "c")
	c.Label("rows")
	top := broadcast512(c, operand.Mem{Base: m})
	sum, corrs := zeroed(c), zeroed(c)
	eachOf(c, "exp", n, []int{64, 16}, func(i reg.GPVirtual, step int) {
		x, high := vectors512(c, step/16), c.YMM()
		for j := range x {
			c.VMOVUPS(indexed(s, i, 4).Offset(64*j), x[j])
			c.VSUBPS(top, x[j], x[j])
		}
		e.of(c, x)
		for j, x := range x {
			c.VEXTRACTF32X8(operand.U8(1), x, high)
			for half, y := range []reg.VecVirtual{x.AsY().(reg.VecVirtual), high} {
				c.VADDPS(y, sum, sum)
				c.VFMADD231PS(indexed(zero, i, 4).Offset(64*j+32*half), y, corrs)
			}
			c.VMULPS(indexed(scale, i, 4).Offset(64*j), x, x)
			c.VMOVUPS(x, indexed(s, i, 4).Offset(64*j))
		}
	})
	endSoftmax(c, sum, corrs, s, m, l, corr, rows)
}

// rowMax512 returns the maximum of n floats of a row, and of least.
func rowMax512(c *build.Context, label string, row, n reg.GPVirtual, least operand.Mem) reg.VecVirtual {
	top := broadcast512(c, least)
	each(c, label, n, 16, func(i reg.GPVirtual) {
		c.VMAXPS(indexed(row, i, 4), top, top)
	})
	h := c.YMM()
	c.VEXTRACTF32X8(operand.U8(1), top, h)
	c.VMAXPS(top.AsY(), h, h)
	return fold(c, h, func(o, x reg.VecVirtual) { c.VMAXPS(o, x, x) })
}

// weigh512 writes weighAVX512: a row's maximum, then its integers, sixteen at a time.
func weigh512(c *build.Context) {
	weighData(c)
	vectorData(c, "weighSeven", 127)
	vectorData(c, "weighZero", 0)
	begin(c, "weighAVX512", "func(p []uint8, s, unit []float32, n int)", "valueKernels.weigh.")
	p, s, unit, rows, n := base(c, "p"), base(c, "s"), base(c, "unit"), length(c, "unit"), integer(c, "n")
	mask := c.ZMM()
	c.VPBROADCASTD(data("weighSeven"), mask)

	c.Label("rows")
	x := rowMax512(c, "max", s, n, data("weighZero"))
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
