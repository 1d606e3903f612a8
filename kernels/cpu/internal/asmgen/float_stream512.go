package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// streamRows is the height of the tiles that take weights as they are stored. Eight
// rows 4 KiB apart, as 2,048 halves are, would fill a set of the first-level cache.
const streamRows = 4

// floatStream512 writes streamFuncs: the weights of four rows are widened as they
// are loaded and meet all tokens at once. The lanes of two rows share a register, so
// that a token's eight inputs stand in both halves of one.
func floatStream512(c *build.Context) {
	int4DataAVX512(c)
	for _, t := range pairTypes {
		if t.one {
			floatStream(c, t, 1)
		}
		for _, tokens := range []int{2, 4, 6, 8} {
			floatStream(c, t, tokens)
		}
	}
}

func floatStream(c *build.Context, t pairType, tokens int) {
	name := fmt.Sprintf("stream%sx%dAVX512", t.name, tokens)
	begin(c, name, "func(total []float32, w []byte, rowBytes int, x []float32, n, rows int, next *byte)",
		fmt.Sprintf("a streamFunc of %d tokens and panels of %d rows.", tokens, tile512Rows))
	total, w := base(c, "total"), base(c, "w")
	rb := map[int]reg.GPVirtual{1: integer(c, "rowBytes"), 3: c.GP64()}
	c.LEAQ(operand.Mem{Base: rb[1], Index: rb[1], Scale: 2}, rb[3])
	x, rows, next := base(c, "x"), integer(c, "rows"), pointer(c, "next")
	k := t.constants(c)
	wi, xi, left := c.GP64(), c.GP64(), c.GP64()

	c.Label("rows")
	c.MOVQ(w, wi)
	c.MOVQ(x, xi)
	c.Load(c.Param("n"), left)
	acc := grid(tokens, streamRows/2, func() reg.VecVirtual { return zeroed512(c) })
	c.Label("inputs")
	// Asked for to the second-level cache: the first has no room for what is not
	// needed soon.
	for line := 0; line < streamRows*t.bytes; line += 64 {
		c.PREFETCHT1(at(next, line))
	}
	c.ADDQ(operand.U32(streamRows*t.bytes), next)
	for i := range t.vectors {
		var v [streamRows / 2]reg.VecVirtual
		for p := range v {
			v[p] = t.load(c, k, strided(wi, rb, 2*p, 0), strided(wi, rb, 2*p+1, 0), i)
		}
		for token := range tokens {
			xv := c.ZMM()
			c.VBROADCASTF32X8(at(xi, 4*blockGroups*floatGroup*token+32*i), xv)
			for p := range v {
				c.VFMADD231PS(xv, v[p], acc[token][p])
			}
		}
	}
	c.ADDQ(operand.U32(t.bytes), wi)
	c.ADDQ(operand.U32(32*t.vectors), xi)
	c.SUBQ(operand.U8(8*t.vectors), left)
	c.JNZ(operand.LabelRef("inputs"))
	for token, a := range acc {
		for p, v := range a {
			m := at(total, 32*tile512Rows*token+64*p)
			c.VADDPS(m, v, v)
			c.VMOVUPS(v, m)
		}
	}
	c.LEAQ(operand.Mem{Base: w, Index: rb[1], Scale: streamRows}, w)
	c.ADDQ(operand.U32(32*streamRows), total)
	c.SUBQ(operand.U8(streamRows), rows)
	c.JNZ(operand.LabelRef("rows"))
	ret(c)
}
