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

// exp returns fp.Exp of x's lanes; x is overwritten.
func exp(c *build.Context, x reg.VecVirtual) reg.VecVirtual {
	keep, n, r2, p := c.YMM(), c.YMM(), c.YMM(), c.YMM()
	c.VCMPPS(operand.U8(13), data("expLo"), x, keep) // x >= ExpLo
	c.VMINPS(data("expHi"), x, x)
	c.VMULPS(data("expLog2E"), x, n)
	c.VCVTPS2DQ(n, n)
	nf := r2
	c.VCVTDQ2PS(n, nf)
	c.VFMADD231PS(data("expNegLn2Hi"), nf, x)
	c.VFMADD231PS(data("expNegLn2Lo"), nf, x)
	r := x
	c.VMOVUPS(data("expC5"), p)
	for _, name := range []string{"expC4", "expC3", "expC2", "expC1", "expC0"} {
		c.VFMADD213PS(data(name), r, p)
	}
	c.VMULPS(r, r, r2)
	c.VFMADD213PS(r, r2, p)
	c.VADDPS(data("expOne"), p, p)
	c.VPSLLD(operand.U8(23), n, n)
	c.VPADDD(n, p, p)
	c.VANDPS(keep, p, p)
	return p
}
