package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pairType is a storage type of weights: how eight inputs of two rows become one
// register of float32, the second row's above the first's.
type pairType struct {
	name    string // as kernels.WeightType's constant
	vectors int    // of eight inputs that are loaded in one pass
	bytes   int    // of a row in a pass
	one     bool   // whether a stream of one token beats a dot
	// constants emits the registers that load keeps.
	constants func(c *build.Context) constants
	// load emits vector i of a pass over the rows at a and b.
	load func(c *build.Context, k constants, a, b operand.Mem, i int) reg.VecVirtual
}

var pairTypes = []pairType{
	{"Float32", 4, 128, false, noConstants, func(c *build.Context, _ constants, a, b operand.Mem, i int) reg.VecVirtual {
		z := c.ZMM()
		c.VMOVUPS(a.Offset(32*i), z.AsY())
		c.VINSERTF32X8(operand.U8(1), b.Offset(32*i), z, z)
		return z
	}},
	{"Float16", 4, 64, false, noConstants, func(c *build.Context, _ constants, a, b operand.Mem, i int) reg.VecVirtual {
		z := sixteens(c, a, b, i)
		c.VCVTPH2PS(z.AsY(), z)
		return z
	}},
	{"BFloat16", 4, 64, false, noConstants, func(c *build.Context, _ constants, a, b operand.Mem, i int) reg.VecVirtual {
		z := sixteens(c, a, b, i)
		c.VPMOVZXWD(z.AsY(), z)
		c.VPSLLD(operand.U8(16), z, z)
		return z
	}},
	{"Int8", 4, 32, true, noConstants, func(c *build.Context, _ constants, a, b operand.Mem, i int) reg.VecVirtual {
		z := eights(c, a, b, i)
		c.VPMOVSXBD(z.AsX(), z)
		c.VCVTDQ2PS(z, z)
		return z
	}},
	// Nibbles are looked up in a register of sixteen floats. The index is the lowest
	// four bits, so the lower nibble needs no mask.
	{"Int4", 8, 32, true, int4ConstantsAVX512, func(c *build.Context, k constants, a, b operand.Mem, i int) reg.VecVirtual {
		z := eights(c, a, b, i%4)
		c.VPMOVZXBD(z.AsX(), z)
		if i >= 4 {
			c.VPSRLD(operand.U8(4), z, z)
		}
		c.VPERMPS(k["table"], z, z)
		return z
	}},
}

func noConstants(*build.Context) constants { return nil }

func int4ConstantsAVX512(c *build.Context) constants {
	k := constants{"table": c.ZMM()}
	c.VMOVUPS(staticAddr("int4_table"), k["table"])
	return k
}

// int4DataAVX512 emits the table of int4.
func int4DataAVX512(c *build.Context) {
	static(c, "int4_table", 16, func(i int) operand.Constant { return operand.F32(i - 8) })
}

// sixteens loads vector i of two rows of 16-bit weights.
func sixteens(c *build.Context, a, b operand.Mem, i int) reg.VecVirtual {
	z := c.ZMM()
	c.VMOVDQU32(a.Offset(16*i), z.AsX())
	c.VINSERTI32X4(operand.U8(1), b.Offset(16*i), z.AsY(), z.AsY())
	return z
}

// eights loads vector i of two rows of bytes.
func eights(c *build.Context, a, b operand.Mem, i int) reg.VecVirtual {
	z := c.ZMM()
	c.VMOVQ(a.Offset(8*i), z.AsX())
	c.VPINSRQ(operand.U8(1), b.Offset(8*i), z.AsX(), z.AsX())
	return z
}
