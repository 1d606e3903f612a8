package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peak emits the loops that measure what the machine can do at most: loads of
// memory, and multiplications of registers with enough chains to hide latency.
func peak(c *build.Context) {
	readBytes(c, "readAVX2", c.YMM)
	readBytes(c, "readAVX512", c.ZMM)

	// 6 chains x 8 vpmaddubsw x 32: the mix of int4 weights' tiles without its loads.
	peakLoop(c, "peakW4AVX2", 1536, c.YMM, 6, func(sum []reg.VecVirtual) {
		a, part, p := c.YMM(), c.YMM(), c.YMM()
		c.VPXOR(a, a, a)
		for _, s := range sum {
			c.VPMADDUBSW(a, a, part)
			for range 7 {
				c.VPMADDUBSW(a, a, p)
				c.VPADDW(p, part, part)
			}
			c.VPMADDWD(a, part, part)
			c.VPADDD(part, s, s)
		}
	})
	// 8 chains x 32: that of int8 weights.
	peakLoop(c, "peakW8AVX2", 256, c.YMM, 8, func(sum []reg.VecVirtual) {
		a := c.YMM()
		c.VPXOR(a, a, a)
		for _, s := range sum {
			p := c.YMM()
			c.VPSIGNB(a, a, p)
			c.VPMADDUBSW(p, a, p)
			c.VPMADDWD(a, p, p)
			c.VPADDD(p, s, s)
		}
	})
	// 16 chains x 64.
	peakLoop(c, "peakInt8VNNI", 1024, c.ZMM, 16, func(sum []reg.VecVirtual) {
		a := zeroed512(c)
		for _, s := range sum {
			c.VPDPBUSD(a, a, s)
		}
	})
	// 12 chains x 32.
	peakLoop(c, "peakInt8AVXVNNI", 384, c.YMM, 12, func(sum []reg.VecVirtual) {
		a := c.YMM()
		c.VPXOR(a, a, a)
		for _, s := range sum {
			vpdpbusd(c, a, a, s)
		}
	})
	// 12 chains x 8.
	peakLoop(c, "peakFMAAVX2", 96, c.YMM, 12, func(sum []reg.VecVirtual) {
		a := c.YMM()
		c.VXORPS(a, a, a)
		for _, s := range sum {
			c.VFMADD231PS(a, a, s)
		}
	})
	// 16 chains x 16.
	peakLoop(c, "peakFMAAVX512", 256, c.ZMM, 16, func(sum []reg.VecVirtual) {
		a := zeroed512(c)
		for _, s := range sum {
			c.VFMADD231PS(a, a, s)
		}
	})
}

// readBytes emits a function that loads every byte of b once.
func readBytes(c *build.Context, name string, vector func() reg.VecVirtual) {
	function(c, name, "func(b []byte)", name+" loads every byte of b, whose length is a multiple of 256.")
	p, n := base(c, "b"), length(c, "b")
	c.SHRQ(operand.U8(8), n)
	c.JZ(operand.LabelRef("done"))
	c.Label("loop")
	for off := 0; off < 256; {
		v := vector()
		c.PREFETCHNTA(operand.Mem{Base: p, Disp: off + prefetchBytes})
		for range 64 / int(v.Size()) {
			if v.Size() == 64 {
				c.VMOVDQU32(operand.Mem{Base: p, Disp: off}, v)
			} else {
				c.VMOVDQU(operand.Mem{Base: p, Disp: off}, v)
			}
			off += int(v.Size())
		}
	}
	c.ADDQ(operand.U32(256), p)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	c.Label("done")
	ret(c)
}

// peakLoop emits a function that runs body n times over chains sums of zero.
func peakLoop(c *build.Context, name string, macs int, vector func() reg.VecVirtual, chains int, body func(sum []reg.VecVirtual)) {
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(n int)")
	c.Doc(fmt.Sprintf("%s does n times %d multiply-adds, n >= 1.", name, macs))
	n := integer(c, "n")
	sum := make([]reg.VecVirtual, chains)
	for i := range sum {
		sum[i] = vector()
		if sum[i].Size() == 64 {
			c.VPXORD(sum[i], sum[i], sum[i])
		} else {
			c.VPXOR(sum[i], sum[i], sum[i])
		}
	}
	c.Label("loop")
	body(sum)
	c.DECQ(n)
	c.JNZ(operand.LabelRef("loop"))
	ret(c)
}
