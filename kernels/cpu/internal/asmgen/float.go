package asmgen

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The generators of linear layers with float rows work on groups of 64 inputs,
// quant.RowAlign, and on blocks of fp.Block = 4 groups.
const (
	floatGroup  = 64
	blockGroups = 4
)

// floatType is a storage type of weights: how 64 of them become eight vectors of
// eight float32, exactly.
type floatType struct {
	name  string // as kernels.WeightType's constant
	bytes int    // of a group
	// widen emits the loads of half a group (0 or 1) at w into four vectors.
	widen func(c *build.Context, k constants, w operand.Mem, half int) [4]reg.VecVirtual
}

// constants are the vectors that a widen keeps in registers.
type constants map[string]reg.VecVirtual

var floatTypes = []floatType{
	{"Float32", 256, widenEach(32, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VMOVUPS(m, y)
	})},
	{"Float16", 128, widenEach(16, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VCVTPH2PS(m, y)
	})},
	{"BFloat16", 128, widenEach(16, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VPMOVZXWD(m, y)
		c.VPSLLD(operand.U8(16), y, y)
	})},
	{"Int8", 64, widenEach(8, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VPMOVSXBD(m, y)
		c.VCVTDQ2PS(y, y)
	})},
	{"Int4", 32, widenInt4},
}

// widenEach is widen for types that keep inputs in order, size bytes a vector.
func widenEach(size int, one func(*build.Context, operand.Mem, reg.VecVirtual)) func(*build.Context, constants, operand.Mem, int) [4]reg.VecVirtual {
	return func(c *build.Context, _ constants, w operand.Mem, half int) (v [4]reg.VecVirtual) {
		for i := range v {
			v[i] = c.YMM()
			one(c, w.Offset((4*half+i)*size), v[i])
		}
		return v
	}
}

// widenInt4 turns nibbles into floats by table. The float32 of -8..7 needs only
// its upper two bytes; VPSHUFB looks up each, and two rounds of unpacking put
// them in place. Unpacking works within 128 bits, so bytes 8i..8i+3 go to the
// lower half first and bytes 8i+4..8i+7 to the upper.
func widenInt4(c *build.Context, k constants, w operand.Mem, half int) (v [4]reg.VecVirtual) {
	q, hi, zero := c.YMM(), c.YMM(), k["zero"]
	c.VMOVDQU(w, q)
	c.VPERMD(q, k["order"], q)
	if half == 1 {
		c.VPSRLW(operand.U8(4), q, q)
	}
	c.VPAND(k["nibble"], q, q)
	c.VPSHUFB(q, k["upper"], hi)
	c.VPSHUFB(q, k["lower"], q)
	for i := range v {
		v[i] = c.YMM()
	}
	c.VPUNPCKLBW(hi, q, v[1])
	c.VPUNPCKHBW(hi, q, v[3])
	c.VPUNPCKLWD(v[1], zero, v[0])
	c.VPUNPCKHWD(v[1], zero, v[1])
	c.VPUNPCKLWD(v[3], zero, v[2])
	c.VPUNPCKHWD(v[3], zero, v[3])
	return v
}

// load emits the constants of t.
func (t floatType) load(c *build.Context) constants {
	if t.name != "Int4" {
		return nil
	}
	k := constants{}
	for _, name := range []string{"order", "nibble", "upper", "lower"} {
		k[name] = c.YMM()
		c.VMOVDQU(operand.NewDataAddr(operand.NewStaticSymbol("int4_"+name), 0), k[name])
	}
	k["zero"] = c.YMM()
	c.VPXOR(k["zero"], k["zero"], k["zero"])
	return k
}

// int4Data emits the tables of widenInt4.
func int4Data(c *build.Context) {
	table := func(name string, at func(i int) operand.Constant, n int) {
		c.StaticGlobal("int4_" + name)
		c.DataAttributes(attr.NOPTR | attr.RODATA)
		for i := range n {
			c.AppendDatum(at(i))
		}
	}
	// float32 of q = n-8, upper 16 bits.
	top := [16]uint16{0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80,
		0, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0}
	table("order", func(i int) operand.Constant { return operand.U32(i%4*2 + i/4) }, 8)
	table("nibble", func(int) operand.Constant { return operand.U8(15) }, 32)
	table("upper", func(i int) operand.Constant { return operand.U8(top[i%16] >> 8) }, 32)
	table("lower", func(i int) operand.Constant { return operand.U8(top[i%16] & 0xff) }, 32)
}

func zeroed(c *build.Context) reg.VecVirtual {
	y := c.YMM()
	c.VXORPS(y, y, y)
	return y
}

func at(base reg.Register, bytes int) operand.Mem { return operand.Mem{Base: base, Disp: bytes} }
