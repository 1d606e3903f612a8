package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile is the frame of an integer dot product of rows weight rows with tokens
// tokens: it walks down the weight rows, tile by tile, and across each in blocks
// of 64 inputs. Weights are read once, in order; the tokens stay in L1.
//
// The frame's parts, in order: start loads the arguments, rowLoop opens the loop,
// blockLoop runs the body over a row, and rowEnd stores and steps.
type tile struct {
	*build.Context
	rows, tokens int
	bits         int // of a weight: 4 or 8

	sum, stride operand.Mem // stride.Base holds the bytes between two tokens' sums
	w, x        reg.GPVirtual
	k           map[int]reg.GPVirtual // odd multiples of the token stride, bytes
	rb          map[int]reg.GPVirtual // odd multiples of the weight row's bytes
	left        reg.GPVirtual         // weight rows left
	blocks      reg.GPVirtual
}

const blockInputs = 64

// blockBytes is what 64 weights take.
func (t *tile) blockBytes() int { return blockInputs * t.bits / 8 }

// newTile begins the function "dotsW{bits}x{tokens}{suffix}", a tileFunc of package cpu.
func newTile(c *build.Context, bits, rows, tokens int, suffix string) *tile {
	t := &tile{Context: c, rows: rows, tokens: tokens, bits: bits}
	name := fmt.Sprintf("dotsW%dx%d%s", bits, tokens, suffix)
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(sum []int32, w []uint8, x []int8, k, rows, stride int)")
	c.Doc(fmt.Sprintf("%s is a tileFunc: %d weight rows by %d tokens.", name, rows, tokens))
	c.Pragma("noescape")
	t.sum.Base = c.Load(c.Param("sum").Base(), c.GP64())
	t.w = c.Load(c.Param("w").Base(), c.GP64()).(reg.GPVirtual)
	t.x = c.Load(c.Param("x").Base(), c.GP64()).(reg.GPVirtual)
	k := c.Load(c.Param("k"), c.GP64()).(reg.GPVirtual)
	t.left = c.Load(c.Param("rows"), c.GP64()).(reg.GPVirtual)
	t.k = t.multiples(k, tokens)
	if rows > 1 {
		rb := k
		if bits == 4 {
			rb = c.GP64()
			c.MOVQ(k, rb)
			c.SHRQ(operand.U8(1), rb)
		}
		t.rb = t.multiples(rb, rows)
	}
	if tokens > 1 {
		t.stride.Base = c.Load(c.Param("stride"), c.GP64())
		c.SHLQ(operand.U8(2), t.stride.Base)
	}
	return t
}

// multiples returns registers with n's odd multiples below count.
func (t *tile) multiples(n reg.GPVirtual, count int) map[int]reg.GPVirtual {
	m := map[int]reg.GPVirtual{1: n}
	for i := 3; i < count; i += 2 {
		m[i] = t.GP64()
		if i == 7 {
			t.LEAQ(operand.Mem{Base: m[3], Index: n, Scale: 4}, m[i])
		} else {
			t.LEAQ(operand.Mem{Base: n, Index: n, Scale: uint8(i - 1)}, m[i])
		}
	}
	return m
}

// strided is base + i·stride + disp, with stride's odd multiples given.
func strided(base reg.Register, stride map[int]reg.GPVirtual, i, disp int) operand.Mem {
	m := operand.Mem{Base: base, Disp: disp}
	if i == 0 {
		return m
	}
	scale := i & -i
	m.Index, m.Scale = stride[i/scale], uint8(scale)
	return m
}

// token is the address of input off of token i, from the current block's start.
func (t *tile) token(i, off int) operand.Mem { return strided(t.x, t.k, i, off) }

// weight is the address of byte off of weight row i, from the current block's start.
func (t *tile) weight(i, off int) operand.Mem { return strided(t.w, t.rb, i, off) }

// row opens the loop over the weight rows.
func (t *tile) row() {
	t.Label("row")
	t.blocks = t.GP64()
	t.MOVQ(t.k[1], t.blocks)
	t.SHRQ(operand.U8(6), t.blocks)
}

// forBlocks emits body, n blocks of 64 inputs at a time, while n are left.
func (t *tile) forBlocks(n int, body func()) {
	loop, end := fmt.Sprintf("blocks%d", n), fmt.Sprintf("end%d", n)
	t.CMPQ(t.blocks, operand.U8(n))
	t.JL(operand.LabelRef(end))
	t.Label(loop)
	body()
	t.ADDQ(operand.I32(n*t.blockBytes()), t.w)
	t.ADDQ(operand.I32(n*blockInputs), t.x)
	t.SUBQ(operand.U8(n), t.blocks)
	t.CMPQ(t.blocks, operand.U8(n))
	t.JGE(operand.LabelRef(loop))
	t.Label(end)
}

// end stores the sums of a tile, acc[row][token], and goes on to the next rows.
func (t *tile) end(acc [][]reg.VecVirtual) {
	to := t.sum
	out := t.GP64()
	t.MOVQ(to.Base, out)
	for i := 0; i < t.tokens; {
		if t.rows == 4 { // four rows of a token stand together
			s := t.reduce(acc[0][i], acc[1][i], acc[2][i], acc[3][i])
			t.VMOVUPS(s, operand.Mem{Base: out})
			if i++; i < t.tokens {
				t.ADDQ(t.stride.Base, out)
			}
			continue
		}
		if t.rows == 2 { // and two rows of two tokens
			s := t.reduce(acc[0][i], acc[1][i], acc[0][i+1], acc[1][i+1])
			t.VMOVQ(s, operand.Mem{Base: out})
			t.VPEXTRQ(operand.U8(1), s, operand.Mem{Base: out, Index: t.stride.Base, Scale: 1})
			if i += 2; i < t.tokens {
				t.LEAQ(operand.Mem{Base: out, Index: t.stride.Base, Scale: 2}, out)
			}
			continue
		}
		four := make([]reg.VecVirtual, 4)
		for j := range four {
			four[j] = acc[0][min(i+j, t.tokens-1)]
		}
		s := t.reduce(four[0], four[1], four[2], four[3])
		for j := 0; j < 4 && i < t.tokens; j++ {
			if j == 0 {
				t.VMOVD(s, operand.Mem{Base: out})
			} else {
				t.VPEXTRD(operand.U8(j), s, operand.Mem{Base: out})
			}
			if i++; i < t.tokens {
				t.ADDQ(t.stride.Base, out)
			}
		}
	}
	t.ADDQ(operand.U8(4*t.rows), t.sum.Base)
	t.SUBQ(t.k[1], t.x)
	if t.rows > 1 {
		t.ADDQ(t.rb[t.rows-1], t.w)
	}
	t.SUBQ(operand.U8(t.rows), t.left)
	t.JNZ(operand.LabelRef("row"))
	t.VZEROUPPER()
	t.RET()
}

// reduce returns the sums of the int32 lanes of a, b, c and d.
func (t *tile) reduce(a, b, c, d reg.VecVirtual) reg.VecVirtual {
	wide := a.Size() == 64
	vector := t.YMM
	if wide {
		vector = t.ZMM
	}
	lo, ab, cd := vector(), vector(), vector()
	t.VPUNPCKLDQ(b, a, lo)
	t.VPUNPCKHDQ(b, a, ab)
	t.VPADDD(lo, ab, ab)
	t.VPUNPCKLDQ(d, c, lo)
	t.VPUNPCKHDQ(d, c, cd)
	t.VPADDD(lo, cd, cd)
	t.VPUNPCKLQDQ(cd, ab, lo)
	t.VPUNPCKHQDQ(cd, ab, ab)
	t.VPADDD(lo, ab, ab) // [a b c d] in each 16 bytes
	s := t.XMM()
	if wide {
		h := t.YMM()
		t.VEXTRACTI64X4(operand.U8(1), ab, h)
		t.VPADDD(ab.AsY(), h, h)
		t.VEXTRACTI32X4(operand.U8(1), h, s)
		t.VPADDD(h.AsX(), s, s)
		return s
	}
	t.VEXTRACTI128(operand.U8(1), ab, s)
	t.VPADDD(ab.AsX(), s, s)
	return s
}

// grid returns rows x tokens registers.
func grid(rows, tokens int, r func() reg.VecVirtual) [][]reg.VecVirtual {
	g := make([][]reg.VecVirtual, rows)
	for i := range g {
		for range tokens {
			g[i] = append(g[i], r())
		}
	}
	return g
}
