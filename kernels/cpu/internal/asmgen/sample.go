package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sample writes blockMaxAVX2 and weighLogitsAVX2.
func sample(c *build.Context) {
	expData(c)
	vectorData(c, "sampleNegInf", math.Float32bits(float32(math.Inf(-1))))
	vectorData(c, "sampleOne", math.Float32bits(1<<40)) // cpu.WeightOne
	blockMax(c)
	weighLogits(c)
}

// blockMax: VMAXPS returns its second source, the maximum so far, where the first is NaN.
func blockMax(c *build.Context) {
	const block = 128 // cpu.LogitBlock
	begin(c, "blockMaxAVX2", "func(tops, x []float32)", "sampleKernels.blockMax.")
	tops, x, n := base(c, "tops"), base(c, "x"), length(c, "tops")
	each(c, "blocks", n, 1, func(i reg.GPVirtual) {
		m := grid(1, 4, c.YMM)[0]
		for j := range block / 8 {
			v, m := c.YMM(), m[j%4]
			c.VMOVUPS(at(x, 32*j), v)
			if j < 4 {
				c.VMAXPS(data("sampleNegInf"), v, m)
				continue
			}
			c.VMAXPS(m, v, m)
		}
		c.VMAXPS(m[1], m[0], m[0])
		c.VMAXPS(m[3], m[2], m[2])
		c.VMAXPS(m[2], m[0], m[0])
		top := fold(c, m[0], func(o, x reg.VecVirtual) { c.VMAXPS(o, x, x) })
		c.VMOVSS(top, indexed(tops, i, 4))
		c.ADDQ(operand.U32(4*block), x)
	})
	ret(c)
}

// weighLogits: the sums are exact, so they have as many lanes as is convenient. A
// mask waits in w.
func weighLogits(c *build.Context) {
	begin(c, "weighLogitsAVX2", "func(w, x []float32, top, scale, least float32) float64", "sampleKernels.weigh.")
	w, x, n := base(c, "w"), base(c, "x"), length(c, "w")
	sums := []reg.VecVirtual{zeroed(c), zeroed(c)}
	eachOf(c, "exp", n, []int{32, 8}, func(i reg.GPVirtual, step int) {
		at := func(base reg.GPVirtual, j int) operand.Mem { return indexed(base, i, 4).Offset(32 * j) }
		k := c.YMM()
		v := grid(1, step/8, c.YMM)[0]
		c.VBROADCASTSS(param(c, "top"), k)
		for j, v := range v {
			c.VMOVUPS(at(x, j), v)
			c.VSUBPS(k, v, v)
		}
		c.VBROADCASTSS(param(c, "scale"), k)
		for _, v := range v {
			c.VMULPS(k, v, v)
		}
		e := exps(c, v, func(j int) operand.Op { return at(w, j) })
		least, one := broadcast(c, "least"), c.YMM()
		c.VMOVUPS(data("sampleOne"), one)
		for j, e := range e {
			keep := c.YMM()
			c.VCMPPS(operand.U8(2), at(x, j), least, keep) // least <= x
			c.VANDPS(keep, e, e)
			c.VMULPS(one, e, e)
			c.VROUNDPS(operand.U8(0), e, e)
			c.VMOVUPS(e, at(w, j))
			high, d := c.XMM(), c.YMM()
			c.VCVTPS2PD(e.AsX(), d)
			c.VADDPD(d, sums[0], sums[0])
			c.VEXTRACTF128(operand.U8(1), e, high)
			c.VCVTPS2PD(high, d)
			c.VADDPD(d, sums[1], sums[1])
		}
	})
	c.VADDPD(sums[1], sums[0], sums[0])
	high := c.XMM()
	c.VEXTRACTF128(operand.U8(1), sums[0], high)
	sum := sums[0].AsX().(reg.VecVirtual)
	c.VADDPD(high, sum, sum)
	c.VPSHUFD(operand.U8(0x4e), sum, high)
	c.VADDSD(high, sum, sum)
	c.VMOVSD(sum, resolved(c.ReturnIndex(0)))
	ret(c)
}
