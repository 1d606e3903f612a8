package asmgen

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// widenInt4 turns nibbles into floats by table. The float32 of -8..7 needs only
// its upper two bytes; VPSHUFB looks up each, and two rounds of unpacking put
// them in place. Unpacking works within 128 bits, so bytes 8i..8i+3 go to the
// lower half first and bytes 8i+4..8i+7 to the upper.
func widenInt4(c *build.Context, k constants, w operand.Mem, use func(int, reg.VecVirtual)) {
	for half := range 2 {
		q, hi := c.YMM(), c.YMM()
		c.VMOVDQU(w, q)
		c.VPERMD(q, k["order"], q)
		if half == 1 {
			c.VPSRLW(operand.U8(4), q, q)
		}
		c.VPAND(k["nibble"], q, q)
		c.VPSHUFB(q, k["upper"], hi)
		c.VPSHUFB(q, k["lower"], q)
		var v [4]reg.VecVirtual
		for i := range v {
			v[i] = c.YMM()
		}
		c.VPUNPCKLBW(hi, q, v[1])
		c.VPUNPCKHBW(hi, q, v[3])
		c.VPUNPCKLWD(v[1], k["zero"], v[0])
		c.VPUNPCKHWD(v[1], k["zero"], v[1])
		c.VPUNPCKLWD(v[3], k["zero"], v[2])
		c.VPUNPCKHWD(v[3], k["zero"], v[3])
		for i := range v {
			use(4*half+i, v[i])
		}
	}
}

func int4Constants(c *build.Context) constants {
	k := constants{"zero": zeroed(c)}
	for _, name := range []string{"order", "nibble", "upper", "lower"} {
		k[name] = c.YMM()
		c.VMOVDQU(staticAddr("int4_"+name), k[name])
	}
	return k
}

// int4Data emits the tables of widenInt4.
func int4Data(c *build.Context) {
	upper := func(i int) uint32 { return math.Float32bits(float32(i%16-8)) >> 16 }
	static(c, "int4_order", 8, func(i int) operand.Constant { return operand.U32(i%4*2 + i/4) })
	static(c, "int4_nibble", 32, func(int) operand.Constant { return operand.U8(15) })
	static(c, "int4_upper", 32, func(i int) operand.Constant { return operand.U8(upper(i) >> 8) })
	static(c, "int4_lower", 32, func(i int) operand.Constant { return operand.U8(upper(i) & 0xff) })
}

// static emits a table of n constants.
func static(c *build.Context, name string, n int, at func(i int) operand.Constant) {
	c.StaticGlobal(name)
	c.DataAttributes(attr.NOPTR | attr.RODATA)
	for i := range n {
		c.AppendDatum(at(i))
	}
}

func staticAddr(name string) operand.Mem {
	return operand.NewDataAddr(operand.NewStaticSymbol(name), 0)
}
