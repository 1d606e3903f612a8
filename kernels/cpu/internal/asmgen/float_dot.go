package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	// dotChains is the number of blocks that a dot product has in flight: one FMA
	// waits four cycles for the last of its block, and two could start in each.
	dotChains = 8
	// dotAhead is the distance in bytes of the prefetch: on Zen 5 with both cores at
	// work, 8,192 gave 3 % less and 12,288 7 %.
	dotAhead = 6144
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
	groups, ahead := c.GP64(), c.GP64()

	// Fewer for what eight chains leave: 5,632 inputs are 22 blocks.
	for count := dotChains; count >= 2; count /= 2 {
		chains(c, t, k, w, x, n, groups, ahead, total, count)
	}

	c.LEAQ(at(w, dotAhead), ahead)
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
	c.ADDQ(operand.U32(t.bytes), ahead)
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

// chains emits the loop over count blocks at a time. The lines that it will need
// are asked for in the order of their addresses, though it reads the blocks side by
// side: the hardware's own prefetch follows one stream, not eight.
func chains(c *build.Context, t floatType, k constants, w, x, n, groups, ahead reg.Register, total reg.VecVirtual, count int) {
	inputs := count * blockGroups * floatGroup
	loop, group, done := fmt.Sprint("chains", count), fmt.Sprint("groups", count), fmt.Sprint("end", count)
	c.Label(loop)
	c.CMPQ(n, operand.U32(inputs))
	c.JLT(operand.LabelRef(done))
	c.SUBQ(operand.U32(inputs), n)
	var acc []reg.VecVirtual
	for range count {
		acc = append(acc, zeroed(c))
	}
	c.MOVQ(operand.U32(blockGroups), groups)
	c.LEAQ(at(w, dotAhead), ahead)
	c.Label(group)
	fmaGroup(c, t, k, w, x, ahead, acc)
	c.ADDQ(operand.U32(count*t.bytes), ahead)
	c.ADDQ(operand.U32(t.bytes), w)
	c.ADDQ(operand.U32(4*floatGroup), x)
	c.DECQ(groups)
	c.JNZ(operand.LabelRef(group))
	for _, a := range acc {
		c.VADDPS(a, total, total)
	}
	c.ADDQ(operand.U32((count-1)*blockGroups*t.bytes), w)
	c.ADDQ(operand.U32((count-1)*blockGroups*4*floatGroup), x)
	c.JMP(operand.LabelRef(loop))
	c.Label(done)
}

// fmaGroup adds the next group's products of each chain to its register, in
// order. Chains are blocks, blockGroups groups apart. It asks for as many bytes
// from ahead as it reads.
func fmaGroup(c *build.Context, t floatType, k constants, w, x, ahead reg.Register, acc []reg.VecVirtual) {
	for i, a := range acc {
		wi, xi := at(w, i*blockGroups*t.bytes), at(x, i*blockGroups*4*floatGroup)
		for line := 0; line < t.bytes; line += 64 {
			c.PREFETCHNTA(at(ahead, i*t.bytes+line))
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
