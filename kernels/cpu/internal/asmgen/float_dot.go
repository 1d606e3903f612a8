package asmgen

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	// dotChains is the number of blocks that a dot product has in flight: one FMA
	// waits four cycles for the last of its block, and two could start in each.
	dotChains = 4
	// dotAhead is the distance in bytes of the prefetch.
	dotAhead = 4096
)

// floatDot writes dot<Type>AVX2, fp.Dot of one stored row with x: one register
// per block of 256 inputs, added to the total in order.
func floatDot(c *build.Context) {
	int4Data(c)
	for _, t := range floatTypes {
		dot(c, t, "AVX2")
	}
}

// floatDot512 writes dotInt4AVX512: the one type whose widening AVX-512 makes
// cheaper; the others' loads are as many as before.
func floatDot512(c *build.Context) {
	int4DataAVX512(c)
	dot(c, floatType{"Int4", 32, int4ConstantsAVX512, widenInt4AVX512}, "AVX512")
}

func dot(c *build.Context, t floatType, isa string) {
	name := "dot" + t.name + isa
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(name + " returns fp.Dot of w, len(x) weights, and x, a multiple of 64 inputs.")
	c.SignatureExpr("func(w []byte, x []float32) float32")
	w := c.Load(c.Param("w").Base(), c.GP64())
	x := c.Load(c.Param("x").Base(), c.GP64())
	n := c.Load(c.Param("x").Len(), c.GP64())
	k := t.constants(c)
	total := zeroed(c)
	groups := c.GP64()

	chains(c, t, k, w, x, n, groups, total)

	c.Label("block")
	c.TESTQ(n, n)
	c.JZ(operand.LabelRef("done"))
	c.MOVQ(operand.U32(blockGroups*floatGroup), groups)
	c.CMPQ(n, groups)
	c.CMOVQLT(n, groups)
	c.SUBQ(groups, n)
	acc := zeroed(c)
	c.Label("group")
	fmaGroup(c, t, k, w, x, []reg.VecVirtual{acc})
	c.ADDQ(operand.U32(t.bytes), w)
	c.ADDQ(operand.U32(4*floatGroup), x)
	c.SUBQ(operand.U8(floatGroup), groups)
	c.JNZ(operand.LabelRef("group"))
	c.VADDPS(acc, total, total)
	c.JMP(operand.LabelRef("block"))

	c.Label("done")
	sum8(c, total)
	c.VZEROUPPER()
	c.RET()
}

// chains emits the loop over dotChains blocks at a time.
func chains(c *build.Context, t floatType, k constants, w, x, n, groups reg.Register, total reg.VecVirtual) {
	const inputs = dotChains * blockGroups * floatGroup
	c.Label("chains")
	c.CMPQ(n, operand.U32(inputs))
	c.JLT(operand.LabelRef("block"))
	c.SUBQ(operand.U32(inputs), n)
	var acc []reg.VecVirtual
	for range dotChains {
		acc = append(acc, zeroed(c))
	}
	c.MOVQ(operand.U32(blockGroups), groups)
	c.Label("groups")
	fmaGroup(c, t, k, w, x, acc)
	c.ADDQ(operand.U32(t.bytes), w)
	c.ADDQ(operand.U32(4*floatGroup), x)
	c.DECQ(groups)
	c.JNZ(operand.LabelRef("groups"))
	for _, a := range acc {
		c.VADDPS(a, total, total)
	}
	c.ADDQ(operand.U32((dotChains-1)*blockGroups*t.bytes), w)
	c.ADDQ(operand.U32((dotChains-1)*blockGroups*4*floatGroup), x)
	c.JMP(operand.LabelRef("chains"))
}

// fmaGroup adds the next group's products of each chain to its register, in
// order. Chains are blocks, blockGroups groups apart.
func fmaGroup(c *build.Context, t floatType, k constants, w, x reg.Register, acc []reg.VecVirtual) {
	for i, a := range acc {
		wi, xi := at(w, i*blockGroups*t.bytes), at(x, i*blockGroups*4*floatGroup)
		for line := 0; line < t.bytes; line += 64 {
			c.PREFETCHT0(wi.Offset(dotAhead + line))
		}
		t.widen(c, k, wi, func(j int, v reg.VecVirtual) {
			c.VFMADD231PS(xi.Offset(32*j), v, a)
		})
	}
}

// sum8 stores fp.Sum8 of y as the result.
func sum8(c *build.Context, y reg.VecVirtual) {
	lo, hi := y.AsX(), c.XMM()
	c.VEXTRACTF128(operand.U8(1), y, hi)
	c.VADDPS(hi, lo, lo)
	c.VMOVHLPS(lo, lo, hi)
	c.VADDPS(hi, lo, lo)
	c.VMOVSHDUP(lo, hi)
	c.VADDSS(hi, lo, lo)
	c.Store(lo, c.ReturnIndex(0))
}
