package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// dotsW8 emits the products of int8 weights.
func dotsW8(c *build.Context) {
	for tokens := 1; tokens <= 6; tokens++ {
		dotsW8AVX2(c, tokens)
	}
	dotsVNNITiles(c, 8)
}

// dotsW8AVX2 multiplies one weight row with tokens tokens.
//
//	u8 |w|, s8 x·sign(w)
//	i16  = pmaddubsw(|w|, x·sign(w))  |2·128·127| = 32,512 < 2¹⁵
//	i32 += pmaddwd(i16, 1)
func dotsW8AVX2(c *build.Context, tokens int) {
	t := newTile(c, 8, 1, tokens, "AVX2")
	ones := c.YMM()
	c.VPCMPEQW(ones, ones, ones)
	c.VPSRLW(operand.U8(15), ones, ones)
	acc := grid(1, tokens, c.YMM)
	t.row()
	for _, s := range acc[0] {
		c.VPXOR(s, s, s)
	}
	t.forBlocks(1, func() {
		t.prefetch(t.weight(0, prefetchBytes))
		for off := 0; off < blockInputs; off += 32 {
			w, abs := c.YMM(), c.YMM()
			c.VMOVDQU(t.weight(0, off), w)
			c.VPABSB(w, abs)
			for i, s := range acc[0] {
				p := c.YMM()
				c.VMOVDQU(t.token(i, off), p)
				c.VPSIGNB(w, p, p)
				c.VPMADDUBSW(p, abs, p)
				c.VPMADDWD(ones, p, p)
				c.VPADDD(p, s, s)
			}
		}
	})
	t.end(acc)
}
