package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotsW4AVXVNNI emits the products of packed int4 weights for CPUs with AVX-VNNI,
// dotsW8AVXVNNI those of int8 weights.
func dotsW4AVXVNNI(c *build.Context) { dotsAVXVNNI(c, 4) }
func dotsW8AVXVNNI(c *build.Context) { dotsAVXVNNI(c, 8) }

func dotsAVXVNNI(c *build.Context, bits int) {
	dotsVNNI256(c, bits, 1, 1, "AVXVNNI")
	for tokens := 2; tokens <= 4; tokens++ {
		dotsVNNI256(c, bits, 2, tokens, "AVXVNNI")
	}
}

// dotsVNNI256 multiplies rows weight rows with tokens tokens, as dotsVNNI does but in
// registers of 32 bytes, of which there are 16.
//
//	4 bits: u8 lo = w & 15, hi = w >> 4; 8 bits: u8 = w ^ 0x80 = w + 128
//	i32 += vpdpbusd(u8, x)       four products each; wraps as int32 does, so exact
func dotsVNNI256(c *build.Context, bits, rows, tokens int, suffix string) {
	t := newTile(c, bits, rows, tokens, suffix)
	flip := c.YMM()
	c.VPCMPEQB(flip, flip, flip)
	if bits == 4 {
		c.VPSRLW(operand.U8(12), flip, flip)
		c.VPACKUSWB(flip, flip, flip) // 15
	} else {
		c.VPABSB(flip, flip)
		c.VPSLLW(operand.U8(7), flip, flip) // 128
	}

	// As in dotsVNNI, a small tile takes several registers a sum: one for each half of
	// a block, or of two blocks. The weights, two a row, the mask and an input take the others.
	chains := 4
	for chains > 1 && chains*rows*tokens+2*rows > 14 {
		chains /= 2
	}
	acc := make([][][]reg.VecVirtual, chains)
	for i := range acc {
		acc[i] = grid(rows, tokens, c.YMM)
	}
	t.row()
	for _, a := range acc {
		for r := range rows {
			for _, s := range a[r] {
				c.VPXOR(s, s, s)
			}
		}
	}
	n := max(1, chains/2) // blocks at a time
	steps := []int{n, 1}
	if n == 1 {
		steps = steps[:1]
	}
	for _, n := range steps {
		t.forBlocks(n, func() {
			for b := range n {
				t.prefetchBlock(b)
				w := grid(2, rows, c.YMM) // [half][row]
				for r := range rows {
					if bits == 4 {
						c.VMOVDQU(t.weight(r, 32*b), w[1][r])
						c.VPAND(flip, w[1][r], w[0][r])
						c.VPSRLW(operand.U8(4), w[1][r], w[1][r])
						c.VPAND(flip, w[1][r], w[1][r])
					} else {
						c.VPXOR(t.weight(r, 64*b), flip, w[0][r])
						c.VPXOR(t.weight(r, 64*b+32), flip, w[1][r])
					}
				}
				for half := range w {
					for i := range tokens {
						x := c.YMM()
						c.VMOVDQU(t.token(i, 64*b+32*half), x)
						for r := range rows {
							vpdpbusd(c, x, w[half][r], acc[(2*b+half)%chains][r][i])
						}
					}
				}
			}
		})
	}
	for _, a := range acc[1:] {
		for r := range rows {
			for i, s := range a[r] {
				c.VPADDD(s, acc[0][r][i], acc[0][r][i])
			}
		}
	}
	t.end(acc[0])
}
