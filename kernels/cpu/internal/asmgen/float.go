package asmgen

import (
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
	// constants emits the vectors that widen keeps in registers.
	constants func(c *build.Context) constants
	// widen emits the group at w: it makes vector i, 0 to 7 in order, and calls use.
	widen func(c *build.Context, k constants, w operand.Mem, use func(i int, v reg.VecVirtual))
}

type constants map[string]reg.VecVirtual

var floatTypes = []floatType{
	inOrder("Float32", 32, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VMOVUPS(m, y)
	}),
	inOrder("Float16", 16, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VCVTPH2PS(m, y)
	}),
	inOrder("BFloat16", 16, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VPMOVZXWD(m, y)
		c.VPSLLD(operand.U8(16), y, y)
	}),
	inOrder("Int8", 8, func(c *build.Context, m operand.Mem, y reg.VecVirtual) {
		c.VPMOVSXBD(m, y)
		c.VCVTDQ2PS(y, y)
	}),
	{"Int4", 32, int4Constants, widenInt4},
}

// inOrder is a type that keeps inputs in order, size bytes a vector.
func inOrder(name string, size int, load func(*build.Context, operand.Mem, reg.VecVirtual)) floatType {
	return floatType{
		name: name, bytes: 8 * size,
		constants: func(*build.Context) constants { return nil },
		widen: func(c *build.Context, _ constants, w operand.Mem, use func(int, reg.VecVirtual)) {
			for i := range 8 {
				v := c.YMM()
				load(c, w.Offset(i*size), v)
				use(i, v)
			}
		},
	}
}

func zeroed(c *build.Context) reg.VecVirtual {
	y := c.YMM()
	c.VXORPS(y, y, y)
	return y
}

func zeroed512(c *build.Context) reg.VecVirtual {
	z := c.ZMM()
	c.VPXORD(z, z, z)
	return z
}

func at(base reg.Register, bytes int) operand.Mem { return operand.Mem{Base: base, Disp: bytes} }
