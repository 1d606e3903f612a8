package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile is the frame of an integer dot product of rows weight rows with tokens
// tokens: it walks down the weight rows, tile by tile, and across each in blocks
// of 64 inputs.
//
// The frame's parts, in order: newTile loads the arguments, row opens the loop,
// forBlocks runs the body over a row, and end stores and steps.
type tile struct {
	*build.Context
	rows, tokens int
	bits         int // of a weight: 4 or 8

	sum, stride operand.Mem // stride.Base holds the bytes between two tokens' sums
	w, x        reg.GPVirtual
	k           map[int]reg.GPVirtual // odd multiples of the token stride, bytes
	left        reg.GPVirtual         // weight rows left
	n           reg.Register          // inputs to take of each token and row
	blocks      reg.GPVirtual

	// A tile of one row skips the rest of it. One of several takes them whole, and
	// prefetches where it is told to.
	skip        reg.Register
	rb          map[int]reg.GPVirtual // odd multiples of the weight row's bytes
	ahead, step reg.Register
}

const blockInputs = 64

// blockBytes is what 64 weights take.
func (t *tile) blockBytes() int { return blockInputs * t.bits / 8 }

// newTile begins the function "dotsW{bits}x{tokens}{suffix}", a tileFunc of package cpu.
func newTile(c *build.Context, bits, rows, tokens int, suffix string) *tile {
	t := &tile{Context: c, rows: rows, tokens: tokens, bits: bits}
	name := fmt.Sprintf("dotsW%dx%d%s", bits, tokens, suffix)
	begin(c, name, "func(sum []int32, w []uint8, x []int8, k, rows, stride, ahead, step, depth int)",
		fmt.Sprintf("a tileFunc: %d weight rows by %d tokens.", rows, tokens))
	t.sum.Base = base(c, "sum")
	t.w = base(c, "w")
	t.x = base(c, "x")
	t.left = integer(c, "rows")
	depth := integer(c, "depth")
	t.k = multiples(c, depth, tokens)
	if rows == 1 {
		t.n, t.skip = integer(c, "k"), c.GP64()
		c.MOVQ(depth, t.skip)
		c.SUBQ(t.n, t.skip)
		c.SHRQ(operand.U8(8/bits-1), t.skip)
	} else {
		rb := c.GP64()
		c.MOVQ(depth, rb)
		c.SHRQ(operand.U8(8/bits-1), rb)
		t.n, t.rb = depth, multiples(c, rb, rows)
		t.ahead, t.step = integer(c, "ahead"), integer(c, "step")
		c.ADDQ(t.w, t.ahead)
	}
	if tokens > 1 {
		t.stride.Base = integer(c, "stride")
		c.SHLQ(operand.U8(2), t.stride.Base)
	}
	return t
}

// multiples returns registers with n's odd multiples below count, 1, 3 and 5.
func multiples(c *build.Context, n reg.GPVirtual, count int) map[int]reg.GPVirtual {
	m := map[int]reg.GPVirtual{1: n}
	for i := 3; i < count; i += 2 {
		m[i] = c.GP64()
		c.LEAQ(operand.Mem{Base: n, Index: n, Scale: uint8(i - 1)}, m[i])
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
	t.MOVQ(t.n, t.blocks)
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
	var sums []reg.VecVirtual // token by token
	for i := range t.tokens {
		for r := range t.rows {
			sums = append(sums, acc[r][i])
		}
	}
	last := len(sums) - 1
	out := t.GP64()
	t.MOVQ(t.sum.Base, out)
	for i := 0; i <= last; {
		four := t.reduce(sums[i], sums[min(i+1, last)], sums[min(i+2, last)], sums[min(i+3, last)])
		for j := 0; j < 4 && i <= last; j += t.rows {
			t.storeRows(four, j, operand.Mem{Base: out})
			if i += t.rows; i <= last {
				t.ADDQ(t.stride.Base, out)
			}
		}
	}
	t.ADDQ(operand.U8(4*t.rows), t.sum.Base)
	t.SUBQ(t.n, t.x)
	if t.rows > 1 {
		t.ADDQ(t.rb[t.rows-1], t.w)
	} else {
		t.ADDQ(t.skip, t.w)
	}
	t.SUBQ(operand.U8(t.rows), t.left)
	t.JNZ(operand.LabelRef("row"))
	ret(t.Context)
}

// storeRows stores a token's sums, one of each row, which are s[j:].
func (t *tile) storeRows(s reg.VecVirtual, j int, to operand.Mem) {
	switch {
	case t.rows == 4:
		t.VMOVUPS(s, to)
	case t.rows == 2 && j == 0:
		t.VMOVQ(s, to)
	case t.rows == 2:
		t.VPEXTRQ(operand.U8(1), s, to)
	case j == 0:
		t.VMOVD(s, to)
	default:
		t.VPEXTRD(operand.U8(j), s, to)
	}
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
