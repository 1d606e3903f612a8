package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotsW4 emits the products of packed int4 weights, q+8 in nibbles.
func dotsW4(c *build.Context) {
	for tokens := 1; tokens <= 6; tokens++ {
		dotsW4AVX2(c, tokens)
	}
	dotsVNNITiles(c, 4)
}

// dotsW4AVX2 multiplies one weight row with tokens tokens.
//
//	u8 lo = w & 15, hi = w >> 4                  32 bytes hold 64 weights
//	i16   = pmaddubsw(lo, x) + pmaddubsw(hi, x)  4 blocks: |8·15·128·2| = 30,720 < 2¹⁵
//	i32  += pmaddwd(i16, 1)
func dotsW4AVX2(c *build.Context, tokens int) {
	t := newTile(c, 4, 1, tokens, "AVX2")
	mask := c.YMM()
	c.VPCMPEQB(mask, mask, mask)
	c.VPSRLW(operand.U8(12), mask, mask)
	c.VPACKUSWB(mask, mask, mask)

	acc := grid(1, tokens, c.YMM)
	wide := acc[0]
	part := grid(1, tokens, c.YMM)[0]
	t.row()
	for _, s := range wide {
		c.VPXOR(s, s, s)
	}
	for _, n := range []int{4, 1} {
		t.forBlocks(n, func() {
			lo, hi, p := c.YMM(), c.YMM(), c.YMM()
			for b := range n {
				if n == 4 && b%2 == 0 {
					t.prefetch(t.weight(0, prefetchBytes+32*b))
				}
				c.VMOVDQU(t.weight(0, 32*b), hi)
				c.VPAND(mask, hi, lo)
				c.VPSRLW(operand.U8(4), hi, hi)
				c.VPAND(mask, hi, hi)
				for i := range tokens {
					if b == 0 {
						c.VPMADDUBSW(t.token(i, 0), lo, part[i])
					} else {
						c.VPMADDUBSW(t.token(i, 64*b), lo, p)
						c.VPADDW(p, part[i], part[i])
					}
					c.VPMADDUBSW(t.token(i, 64*b+32), hi, p)
					c.VPADDW(p, part[i], part[i])
				}
			}
			c.VPCMPEQW(lo, lo, lo)
			c.VPSRLW(operand.U8(15), lo, lo) // ones
			for i := range tokens {
				c.VPMADDWD(lo, part[i], part[i])
				c.VPADDD(part[i], wide[i], wide[i])
			}
		})
	}
	t.end(acc)
}

// prefetchBytes is how far ahead of a weight row's reads its lines are asked for.
// Some requests are dropped, so tiles that outrun the hardware's own prefetching ask
// again one line later: 8 tokens of int8 weights read 18 instead of 11.5 GB/s a
// core (Zen 5, 4 KiB pages), 4 tokens 34 instead of 24, and one token loses nothing.
const prefetchBytes = 8192

// prefetch asks for a line of weights. One token's go to the second-level cache, which
// waits for more lines at once than the first does. On Zen 4 two cores then decode 4-bit
// weights at 28 instead of 19 GB/s with AVX2, and at 43 instead of 40 with VNNI, where
// memory gives as much; past the second level (PREFETCHNTA) was best on Zen 5.
func (t *tile) prefetch(line operand.Mem) {
	if t.tokens == 1 {
		t.PREFETCHT1(line)
	} else {
		t.PREFETCHT0(line)
	}
}

// prefetchBlock asks for block b's weights, twice: see prefetchBytes. A tile of several
// rows asks for lines where it is told to, in the order of their addresses.
func (t *tile) prefetchBlock(b int) {
	if t.rows == 1 {
		ahead := t.weight(0, prefetchBytes+t.blockBytes()*b)
		t.prefetch(ahead)
		t.prefetch(ahead.Offset(-64))
		return
	}
	for line := 0; line < t.rows*t.blockBytes(); line += 64 {
		t.PREFETCHT1(operand.Mem{Base: t.ahead})
		t.PREFETCHT1(operand.Mem{Base: t.ahead, Disp: -64})
		t.ADDQ(t.step, t.ahead)
	}
}

// dotsVNNITiles emits one token's tile, which is memory's: one row after another. More
// tokens are for several rows at a time.
func dotsVNNITiles(c *build.Context, bits int) {
	dotsVNNI(c, bits, 1, 1, "VNNI")
	for tokens := 2; tokens <= 6; tokens++ {
		dotsVNNI(c, bits, 4, tokens, "VNNI")
	}
}

// dotsVNNI multiplies rows weight rows with tokens tokens.
//
//	4 bits: u8 = w & 15, w >> 4  the two halves of a register; 8 bits: u8 = w ^ 0x80 = w + 128
//	i32 += vpdpbusd(u8, x)       four products each; wraps as int32 does, so exact
func dotsVNNI(c *build.Context, bits, rows, tokens int, suffix string) {
	t := newTile(c, bits, rows, tokens, suffix)
	word, flip, shift := c.GP32(), c.ZMM(), c.ZMM()
	if bits == 4 {
		four := c.YMM()
		c.MOVL(operand.U32(4), word)
		c.VPBROADCASTD(word, four)
		c.VPXORD(shift, shift, shift)
		c.VINSERTI64X4(operand.U8(1), four, shift, shift) // 0 for the low half, 4 for the high
		c.MOVL(operand.U32(0x0f0f0f0f), word)
	} else {
		c.MOVL(operand.U32(0x80808080), word)
	}
	c.VPBROADCASTD(word, flip)

	// A product waits five cycles for the one before it in its register, and two
	// begin in each: a small tile takes several registers a sum.
	chains := max(1, min(4, 8/(rows*tokens)))
	acc := make([][][]reg.VecVirtual, chains)
	for i := range acc {
		acc[i] = grid(rows, tokens, c.ZMM)
	}
	t.row()
	for _, a := range acc {
		for r := range rows {
			for i := range tokens {
				c.VPXORD(a[r][i], a[r][i], a[r][i])
			}
		}
	}
	steps := []int{chains, 1}
	if chains == 1 {
		steps = steps[:1]
	}
	for _, n := range steps {
		t.forBlocks(n, func() {
			for b := range n {
				t.prefetchBlock(b)
				w := make([]reg.VecVirtual, rows)
				for r := range rows {
					w[r] = c.ZMM()
					if bits == 4 {
						c.VBROADCASTI64X4(t.weight(r, 32*b), w[r])
						c.VPSRLVD(shift, w[r], w[r])
						c.VPANDD(flip, w[r], w[r])
					} else {
						c.VPXORD(t.weight(r, 64*b), flip, w[r])
					}
				}
				for i := range tokens {
					var x operand.Op = t.token(i, 64*b)
					if rows > 1 {
						v := c.ZMM()
						c.VMOVDQU32(x, v)
						x = v
					}
					for r := range rows {
						c.VPDPBUSD(x, w[r], acc[b][r][i])
					}
				}
			}
		})
	}
	for _, a := range acc[1:] {
		for r := range rows {
			for i := range tokens {
				c.VPADDD(a[r][i], acc[0][r][i], acc[0][r][i])
			}
		}
	}
	t.end(acc[0])
}
