package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	// dotChains is the number of blocks that a dot product has side by side, besides
	// what the processor begins early: one FMA waits four cycles for the last of its
	// block. The hardware's own prefetch likes few streams: on Zen 4, four read 7 %
	// slower than two.
	dotChains = 2
	// dotAhead is the distance in bytes of the prefetch. It ends in the second-level
	// cache: the first is full of x where rows are wide, which prefetchnta would push
	// out (on Zen 4 16 instead of 28 GB/s at 5,632 inputs, one core).
	dotAhead = 8192
)

// floatDot writes dot<Type>AVX2, fp.Dot of one stored row with x: one register
// per block of 256 inputs, added to the total in order.
func floatDot(c *build.Context) {
	int4Data(c)
	for _, t := range floatTypes {
		dot(c, t)
	}
}

func dot(c *build.Context, t floatType) {
	name := "dot" + t.name + "AVX2"
	function(c, name, "func(w []byte, x []float32) float32",
		name+" returns fp.Dot of w, len(x) weights, and x, a multiple of 64 inputs.")
	w, x, n := base(c, "w"), base(c, "x"), length(c, "x")
	ahead := c.GP64()
	c.LEAQ(at(w, dotAhead), ahead)
	k := t.constants(c)
	total, groups := zeroed(c), c.GP64()

	c.Label("chains")
	chains(c, t, k, w, x, n, groups, ahead, total)

	c.Label("block")
	c.TESTQ(n, n)
	c.JZ(operand.LabelRef("done"))
	c.MOVQ(operand.U32(blockGroups*floatGroup), groups)
	c.CMPQ(n, groups)
	c.CMOVQLT(n, groups)
	c.SUBQ(groups, n)
	acc := zeroed(c)
	c.Label("group")
	fmaGroup(c, t, k, w, x, ahead, []reg.VecVirtual{acc})
	c.ADDQ(operand.U32(t.bytes), w)
	c.ADDQ(operand.U32(4*floatGroup), x)
	c.SUBQ(operand.U8(floatGroup), groups)
	c.JNZ(operand.LabelRef("group"))
	c.VADDPS(acc, total, total)
	c.JMP(operand.LabelRef("block"))

	c.Label("done")
	sum8(c, total)
	ret(c)
}

// chains emits the loop over dotChains blocks at a time. The lines that it will need
// are asked for in the order of their addresses, though it reads the blocks side by
// side: the hardware's own prefetch follows one stream.
func chains(c *build.Context, t floatType, k constants, w, x, n, groups, ahead reg.Register, total reg.VecVirtual) {
	const inputs = dotChains * blockGroups * floatGroup
	c.CMPQ(n, operand.U32(inputs))
	c.JLT(operand.LabelRef("block"))
	c.SUBQ(operand.U32(inputs), n)
	var acc []reg.VecVirtual
	for range dotChains {
		acc = append(acc, zeroed(c))
	}
	c.MOVQ(operand.U32(blockGroups), groups)
	c.Label("groups")
	fmaGroup(c, t, k, w, x, ahead, acc)
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

// fmaGroup adds the ahead group's products of each chain to its register, in
// order. Chains are blocks, blockGroups groups apart. It asks for as many bytes
// from ahead on as it reads.
func fmaGroup(c *build.Context, t floatType, k constants, w, x, ahead reg.Register, acc []reg.VecVirtual) {
	for line := 0; line < len(acc)*t.bytes; line += 64 {
		c.PREFETCHT1(at(ahead, line))
	}
	c.ADDQ(operand.U32(len(acc)*t.bytes), ahead)
	for i, a := range acc {
		wi, xi := at(w, i*blockGroups*t.bytes), at(x, i*blockGroups*4*floatGroup)
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
