package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// splitBytes is the distance of rows of scores: cpu.splitTokens float32s.
const splitBytes = 4 * 256

// queryBytes is the size of a cpu.intQuery, of which the parts stand in the order
// bias, sum, scale.
const queryBytes = 12

// eight are the addresses of eight rows: two bases and multiples of the distance.
type eight struct{ low, high, step, step3 reg.GPVirtual }

func newEight(c *build.Context, step reg.GPVirtual) eight {
	r := eight{c.GP64(), c.GP64(), step, c.GP64()}
	c.LEAQ(operand.Mem{Base: step, Index: step, Scale: 2}, r.step3)
	return r
}

// start sets the first row.
func (r eight) start(c *build.Context, first reg.GPVirtual) {
	c.MOVQ(first, r.low)
	c.LEAQ(operand.Mem{Base: first, Index: r.step, Scale: 4}, r.high)
}

func (r eight) advance(c *build.Context, bytes int) {
	c.ADDQ(operand.U32(bytes), r.low)
	c.ADDQ(operand.U32(bytes), r.high)
}

// row is byte disp of row i.
func (r eight) row(i, disp int) operand.Mem {
	m := operand.Mem{Base: r.low, Disp: disp}
	if i >= 4 {
		m.Base = r.high
	}
	switch i % 4 {
	case 1, 2:
		m.Index, m.Scale = r.step, uint8(i%4)
	case 3:
		m.Index, m.Scale = r.step3, 1
	}
	return m
}

// scoresInt writes scores4AVX2 and scores8AVX2, of sixteen turned keys at a time: a
// register holds four elements of each of eight, so no sum goes across lanes.
//
//	4 bits  i16 += pmaddubsw(k, q)                   |15·127·2·8| < 2¹⁵
//	        i32 += pmaddwd(i16, 1)                   every 32 elements
//	8 bits  i32 += pmaddwd(pmaddubsw(|k|, ±q), 1)    |128·127·2| < 2¹⁵
func scoresInt(c *build.Context) {
	for _, bits := range []int{4, 8} {
		t := newScores(c, bits, "AVX2")
		ones := c.YMM()
		c.VPCMPEQW(ones, ones, ones)
		c.VPSRLW(operand.U8(15), ones, ones)
		t.forKeys([]int{2, 1}, func() func(rows int) {
			return func(rows int) { t.store(t.productsAVX2(rows, ones)) }
		})
	}
}

// scores is the frame of a scores4 or scores8 of turned keys: sixteen keys at a time
// meet tiles of queries.
type scores struct {
	*build.Context
	bits                                  int
	s, k, q, a, kscale, kzero, n, dim, to reg.GPVirtual // q, a and to: of a tile's first query
}

// newScores begins the function.
func newScores(c *build.Context, bits int, suffix string) *scores {
	name := fmt.Sprintf("scores%d", bits)
	begin(c, name+suffix, "func(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)", "scoreKernels."+name+", of keys that turnKeys turned.")
	return &scores{Context: c, bits: bits, s: base(c, "s"), k: base(c, "k"),
		kscale: base(c, "kscale"), kzero: base(c, "kzero"), n: length(c, "kscale"), dim: integer(c, "dim")}
}

// forKeys emits the rest: what start does for sixteen keys, then the tiles that it
// returns, of as many queries as are first of tiles while they are left, then the next.
func (t *scores) forKeys(tiles []int, start func() func(rows int)) {
	t.Label("keys")
	tile := start()
	t.q, t.a = base(t.Context, "q"), base(t.Context, "a")
	left := length(t.Context, "a")
	t.to = t.GP64()
	t.MOVQ(t.s, t.to)
	for _, rows := range tiles {
		loop, end := fmt.Sprintf("rows%d", rows), fmt.Sprintf("end%d", rows)
		t.Label(loop)
		t.CMPQ(left, operand.U8(rows))
		t.JLT(operand.LabelRef(end))
		tile(rows)
		t.ADDQ(operand.U32(rows*splitBytes), t.to)
		t.ADDQ(operand.U8(rows*queryBytes), t.a)
		t.LEAQ(operand.Mem{Base: t.q, Index: t.dim, Scale: uint8(rows)}, t.q)
		t.SUBQ(operand.U8(rows), left)
		t.JMP(operand.LabelRef(loop))
		t.Label(end)
	}
	for range 2 {
		t.LEAQ(operand.Mem{Base: t.k, Index: t.dim, Scale: 8}, t.k)
	}
	for _, p := range []reg.GPVirtual{t.kscale, t.kzero, t.s} {
		t.ADDQ(operand.U8(64), p)
	}
	t.SUBQ(operand.U8(16), t.n)
	t.JNZ(operand.LabelRef("keys"))
	ret(t.Context)
}

// store emits scoreKernels' definition of scores, of products in two registers a query.
func (t *scores) store(products [][]reg.VecVirtual) {
	for r, sums := range products {
		var part [3]reg.VecVirtual
		for i := range part {
			part[i] = t.YMM()
			t.VBROADCASTSS(at(t.a, r*queryBytes+4*i), part[i])
		}
		for i, y := range sums {
			t.VCVTDQ2PS(y, y)
			t.VADDPS(part[0], y, y)
			t.VMULPS(at(t.kscale, 32*i), y, y)
			t.VFMADD231PS(at(t.kzero, 32*i), part[1], y)
			t.VMULPS(part[2], y, y)
			t.VMOVUPS(y, at(t.to, r*splitBytes+32*i))
		}
	}
}

// productsAVX2 returns the products of sixteen keys with each of rows queries.
func (t *scores) productsAVX2(rows int, ones reg.VecVirtual) [][]reg.VecVirtual {
	c := t.Context
	acc := grid(rows, 2, func() reg.VecVirtual { return zeroed(c) })
	q, k, left := c.GP64(), c.GP64(), c.GP64()
	c.MOVQ(t.q, q)
	c.MOVQ(t.k, k)
	c.MOVQ(t.dim, left)
	label := fmt.Sprintf("dims%d", rows)
	c.Label(label)
	words := grid(rows, 2, c.YMM)
	for j := range 8 {
		var key, size [2]reg.VecVirtual
		for i := range key {
			key[i], size[i] = c.YMM(), c.YMM()
			c.VMOVDQU(at(k, 64*j+32*i), key[i])
			if t.bits == 8 {
				c.VPABSB(key[i], size[i])
			}
		}
		for r := range rows {
			x := c.YMM()
			c.VPBROADCASTD(strided(q, map[int]reg.GPVirtual{1: t.dim}, r, 4*j), x)
			for i, sum := range words[r] {
				y := c.YMM()
				switch {
				case t.bits == 8:
					c.VPSIGNB(key[i], x, y)
					c.VPMADDUBSW(y, size[i], y)
					c.VPMADDWD(ones, y, y)
					c.VPADDD(y, acc[r][i], acc[r][i])
				case j == 0:
					c.VPMADDUBSW(x, key[i], sum)
				default:
					c.VPMADDUBSW(x, key[i], y)
					c.VPADDW(y, sum, sum)
				}
			}
		}
	}
	if t.bits == 4 {
		for r := range rows {
			for i, sum := range words[r] {
				c.VPMADDWD(ones, sum, sum)
				c.VPADDD(sum, acc[r][i], acc[r][i])
			}
		}
	}
	c.ADDQ(operand.U32(8*64), k)
	c.ADDQ(operand.U8(8*4), q)
	c.SUBQ(operand.U8(8*4), left)
	c.JNZ(operand.LabelRef(label))
	return acc
}

// scoresFloat writes scoresFloatAVX2, eight keys at a time, a register each.
func scoresFloat(c *build.Context) {
	begin(c, "scoresFloatAVX2", "func(s, k, q []float32, scale float32, n, dim int)", "scoreKernels.scoresFloat.")
	s, k, q0, n, dim := base(c, "s"), base(c, "k"), base(c, "q"), integer(c, "n"), integer(c, "dim")
	end := length(c, "q")
	c.LEAQ(operand.Mem{Base: q0, Index: end, Scale: 4}, end)
	c.SHLQ(operand.U8(2), dim)
	keys := newEight(c, dim)
	scale := broadcast(c, "scale")
	zero := zeroed(c)

	c.Label("keys")
	q, to := c.GP64(), c.GP64()
	c.MOVQ(q0, q)
	c.MOVQ(s, to)

	c.Label("rows")
	var acc [8]reg.VecVirtual
	for i := range acc {
		acc[i] = zeroed(c)
	}
	keys.start(c, k)
	left := c.GP64()
	c.MOVQ(dim, left)
	c.Label("dims")
	for disp := 0; disp < 128; disp += 32 {
		x := c.YMM()
		c.VMOVUPS(operand.Mem{Base: q, Disp: disp}, x)
		for i := range acc {
			c.VFMADD231PS(keys.row(i, disp), x, acc[i])
		}
	}
	keys.advance(c, 128)
	c.SUBQ(operand.I32(-128), q)
	c.ADDQ(operand.I32(-128), left)
	c.JNZ(operand.LabelRef("dims"))

	y := sum8Each(c, acc)
	c.VADDPS(zero, y, y) // fp.Dot's total starts from 0
	c.VMULPS(scale, y, y)
	c.VMOVUPS(y, operand.Mem{Base: to})
	c.ADDQ(operand.U32(splitBytes), to)
	c.CMPQ(q, end)
	c.JLT(operand.LabelRef("rows"))

	c.LEAQ(operand.Mem{Base: k, Index: dim, Scale: 8}, k)
	c.ADDQ(operand.U8(32), s)
	c.SUBQ(operand.U8(8), n)
	c.JNZ(operand.LabelRef("keys"))
	ret(c)
}

// sum8Each returns fp.Sum8 of each of v: halves, then quarters, then the last two.
func sum8Each(c *build.Context, v [8]reg.VecVirtual) reg.VecVirtual {
	t := c.YMM()
	for i := range 4 { // v[i] = [halves of i | halves of i+4]
		c.VPERM2F128(operand.U8(0x31), v[i+4], v[i], t)
		c.VPERM2F128(operand.U8(0x20), v[i+4], v[i], v[i])
		c.VADDPS(t, v[i], v[i])
	}
	for i := 0; i < 4; i += 2 {
		c.VUNPCKHPD(v[i+1], v[i], t)
		c.VUNPCKLPD(v[i+1], v[i], v[i])
		c.VADDPS(t, v[i], v[i])
	}
	c.VSHUFPS(operand.U8(0xdd), v[2], v[0], t)
	c.VSHUFPS(operand.U8(0x88), v[2], v[0], v[0])
	c.VADDPS(t, v[0], v[0])
	return v[0]
}
