package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/llmqat/llmqat/kernels/fp"
)

// vectorData emits a vector of eight equal 32-bit values called name.
func vectorData(c *build.Context, name string, bits uint32) {
	dataOf(c, name, bits, bits, bits, bits, bits, bits, bits, bits)
}

// dataOf emits a vector of 32-bit values called name.
func dataOf(c *build.Context, name string, bits ...uint32) {
	c.StaticGlobal(name)
	c.DataAttributes(attr.NOPTR | attr.RODATA)
	for _, v := range bits {
		c.AppendDatum(operand.U32(v))
	}
}

// data is the address of a vectorData or dataOf.
func data(name string) operand.Mem { return operand.NewDataAddr(operand.NewStaticSymbol(name), 0) }

// expData emits the constants of exp.
func expData(c *build.Context) {
	for _, v := range []struct {
		name  string
		value float32
	}{
		{"expLo", fp.ExpLo}, {"expHi", fp.ExpHi}, {"expLog2E", fp.Log2E},
		{"expNegLn2Hi", -fp.Ln2Hi}, {"expNegLn2Lo", -fp.Ln2Lo},
		{"expC0", fp.ExpC0}, {"expC1", fp.ExpC1}, {"expC2", fp.ExpC2},
		{"expC3", fp.ExpC3}, {"expC4", fp.ExpC4}, {"expC5", fp.ExpC5}, {"expOne", 1},
	} {
		vectorData(c, v.name, math.Float32bits(v.value))
	}
}

// exp returns fp.Exp of the lanes of x, which is overwritten.
func exp(c *build.Context, x reg.VecVirtual) reg.VecVirtual {
	keep := c.YMM()
	return exps(c, []reg.VecVirtual{x}, func(int) operand.Op { return keep })[0]
}

// exps is exp of several registers side by side: each instruction waits for the one
// before it, and a core looks ahead no further than two exponentials. Registers are
// few, so keep says where a mask of each goes.
func exps(c *build.Context, x []reg.VecVirtual, keep func(i int) operand.Op) []reg.VecVirtual {
	n, p := grid(1, len(x), c.YMM)[0], grid(1, len(x), c.YMM)[0]
	with := func(name string, use func(k operand.Op, i int)) {
		var k operand.Op = data(name)
		if len(x) > 1 {
			y := c.YMM()
			c.VMOVUPS(k, y)
			k = y
		}
		for i := range x {
			use(k, i)
		}
	}
	nf, r := p, x
	with("expLo", func(k operand.Op, i int) {
		y, ok := keep(i).(reg.VecVirtual)
		if !ok {
			y = c.YMM()
		}
		c.VCMPPS(operand.U8(13), k, x[i], y) // x >= ExpLo
		if !ok {
			c.VMOVUPS(y, keep(i))
		}
	})
	with("expHi", func(k operand.Op, i int) { c.VMINPS(k, x[i], x[i]) })
	with("expLog2E", func(k operand.Op, i int) {
		c.VMULPS(k, x[i], n[i])
		c.VCVTPS2DQ(n[i], n[i])
		c.VCVTDQ2PS(n[i], nf[i])
	})
	with("expNegLn2Hi", func(k operand.Op, i int) { c.VFMADD231PS(k, nf[i], x[i]) })
	with("expNegLn2Lo", func(k operand.Op, i int) { c.VFMADD231PS(k, nf[i], x[i]) })
	with("expC5", func(k operand.Op, i int) { c.VMOVUPS(k, p[i]) })
	for _, name := range []string{"expC4", "expC3", "expC2", "expC1", "expC0"} {
		with(name, func(k operand.Op, i int) { c.VFMADD213PS(k, r[i], p[i]) })
	}
	for i := range x {
		r2 := c.YMM()
		c.VMULPS(r[i], r[i], r2)
		c.VFMADD213PS(r[i], r2, p[i])
	}
	with("expOne", func(k operand.Op, i int) {
		c.VADDPS(k, p[i], p[i])
		c.VPSLLD(operand.U8(23), n[i], n[i])
		c.VPADDD(n[i], p[i], p[i])
		c.VANDPS(keep(i), p[i], p[i])
	})
	return p
}
