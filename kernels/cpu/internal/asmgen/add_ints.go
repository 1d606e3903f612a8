package asmgen

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// addInts writes the loops of valueKernels for integers.
func addInts(c *build.Context) {
	weigh(c)
	quads(c, 4)
	quads(c, 8)
	addIntRows(c)

	begin(c, "scaleIntsAVX2", "func(o []float32, sums []int32, unit float32)", "valueKernels.scaleInts.")
	o, sums, n, unit := base(c, "o"), base(c, "sums"), length(c, "o"), broadcast(c, "unit")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		x := c.YMM()
		c.VCVTDQ2PS(indexed(sums, i, 4), x)
		c.VMULPS(unit, x, x)
		c.VMOVUPS(x, indexed(o, i, 4))
	})
	ret(c)
}

const weightMax = 1<<14 - 1 // cpu.weightMax

// weighData emits the constants of weigh and weigh512.
func weighData(c *build.Context) {
	vectorData(c, "weighMax", math.Float32bits(weightMax))
	vectorData(c, "weighUnit", math.Float32bits(1.0/weightMax))
	vectorData(c, "weighTiny", math.Float32bits(0x1p-100)) // cpu.weightTiny
}

// weigh writes weighAVX2, 16 weights at a time.
//
//	i32 = cvtps2dq(s·(weightMax/top))     to nearest, ties to even; 0..weightMax
//	i16 = packusdw(i32)
//	planes = packuswb(i16 >> 7, i16 & 127)
func weigh(c *build.Context) {
	weighData(c)
	vectorData(c, "weighLow", 127<<16|127)
	dataOf(c, "weighOrder", 0, 4, 1, 5, 2, 6, 3, 7)

	begin(c, "weighAVX2", "func(p []uint8, s, unit []float32, n int)", "valueKernels.weigh.")
	p, s, unit, rows, n := base(c, "p"), base(c, "s"), base(c, "unit"), length(c, "unit"), integer(c, "n")
	low, order := c.YMM(), c.YMM()
	c.VMOVDQU(data("weighLow"), low)
	c.VMOVDQU(data("weighOrder"), order)

	c.Label("rows")
	tops := []reg.VecVirtual{zeroed(c), zeroed(c)}
	each(c, "max", n, 16, func(i reg.GPVirtual) {
		for j, top := range tops {
			c.VMAXPS(indexed(s, i, 4).Offset(32*j), top, top)
		}
	})
	c.VMAXPS(tops[1], tops[0], tops[0])
	top := fold(c, tops[0], func(o, x reg.VecVirtual) { c.VMAXPS(o, x, x) })
	keep, x, inv := c.XMM(), c.XMM(), c.YMM()
	c.VCMPSS(operand.U8(13), data("weighTiny"), top, keep) // top >= weightTiny
	c.VMOVSS(data("weighMax"), x)
	c.VDIVSS(top, x, x)
	c.VANDPS(keep, x, x)
	c.VBROADCASTSS(x, inv)
	c.VMULSS(data("weighUnit"), top, top)
	c.VANDPS(keep, top, top)
	c.VMOVSS(top, operand.Mem{Base: unit})

	each(c, "planes", n, 16, func(i reg.GPVirtual) {
		x := []reg.VecVirtual{c.YMM(), c.YMM()}
		for j, x := range x {
			c.VMULPS(indexed(s, i, 4).Offset(32*j), inv, x)
			c.VCVTPS2DQ(x, x)
		}
		w := x[0]
		c.VPACKUSDW(x[1], x[0], w) // of each 128 bits: four of x[0], four of x[1]
		upper := x[1]
		c.VPSRLW(operand.U8(7), w, upper)
		c.VPAND(low, w, w)
		c.VPACKUSWB(w, upper, w) // of each 128 bits: eight of the upper plane, eight of the lower
		c.VPERMD(w, order, w)
		c.VMOVDQU(w.AsX(), indexed(p, i, 1))
		c.VEXTRACTI128(operand.U8(1), w, indexed(p, i, 1).Offset(planesBytes/2))
	})
	c.ADDQ(operand.U32(splitBytes), s)
	c.ADDQ(operand.U32(planesBytes), p)
	c.ADDQ(operand.U8(4), unit)
	c.DECQ(rows)
	c.JNZ(operand.LabelRef("rows"))
	ret(c)
}

// quads writes quads4AVX2 and quads8AVX2: 16 bytes of each of four vectors at a
// time. Packed bytes are put side by side before their nibbles part.
func quads(c *build.Context, bits int) {
	name, off := fmt.Sprintf("quads%d", bits), ""
	if bits == 4 {
		off = ", off int8"
		vectorData(c, "quadsNibble", 0x0f0f0f0f)
		dataOf(c, "quadsOrder", 0x09080100, 0x0b0a0302, 0x0d0c0504, 0x0f0e0706, 0x09080100, 0x0b0a0302, 0x0d0c0504, 0x0f0e0706)
	}
	begin(c, name+"AVX2", "func(v []int8, src []uint8, dim int"+off+")", "valueKernels."+name+".")
	v, end, src, size := base(c, "v"), length(c, "v"), base(c, "src"), integer(c, "dim")
	order, nibble, less := c.YMM(), c.YMM(), c.YMM()
	c.VMOVDQU(data("quadsOrder"), order)
	if bits == 4 {
		c.SHRQ(operand.U8(1), size)
		c.VMOVDQU(data("quadsNibble"), nibble)
		c.VPBROADCASTB(param(c, "off"), less)
	}
	c.ADDQ(v, end)
	size3, high := c.GP64(), c.GP64()
	c.LEAQ(operand.Mem{Base: size, Index: size, Scale: 2}, size3)

	c.Label("four")
	left := c.GP64()
	c.MOVQ(size, left)
	if bits == 4 {
		c.LEAQ(operand.Mem{Base: v, Index: size, Scale: 4}, high)
	}
	c.Label("bytes")
	ac, bd := c.YMM(), c.YMM()
	c.VMOVDQU(operand.Mem{Base: src}, ac.AsX())
	c.VINSERTI128(operand.U8(1), operand.Mem{Base: src, Index: size, Scale: 2}, ac, ac)
	c.VMOVDQU(operand.Mem{Base: src, Index: size, Scale: 1}, bd.AsX())
	c.VINSERTI128(operand.U8(1), operand.Mem{Base: src, Index: size3, Scale: 1}, bd, bd)
	abcd := []reg.VecVirtual{c.YMM(), c.YMM()}
	c.VPUNPCKLBW(bd, ac, abcd[0]) // [ab of 0..7 | cd of 0..7]
	c.VPUNPCKHBW(bd, ac, abcd[1])
	for i, x := range abcd {
		c.VPERMQ(operand.U8(0xd8), x, x) // [ab, cd of 0..3 | ab, cd of 4..7]
		c.VPSHUFB(order, x, x)
		if bits == 8 {
			c.VMOVDQU(x, at(v, 32*i))
			continue
		}
		y := c.YMM()
		c.VPSRLW(operand.U8(4), x, y)
		c.VPAND(nibble, x, x)
		c.VPAND(nibble, y, y)
		c.VPSUBB(less, x, x)
		c.VPSUBB(less, y, y)
		c.VMOVDQU(x, at(v, 32*i))
		c.VMOVDQU(y, at(high, 32*i))
	}
	c.ADDQ(operand.U8(64), v)
	if bits == 4 {
		c.ADDQ(operand.U8(64), high)
	}
	c.ADDQ(operand.U8(16), src)
	c.SUBQ(operand.U8(16), left)
	c.JNZ(operand.LabelRef("bytes"))
	c.ADDQ(size3, src)
	if bits == 4 {
		c.MOVQ(high, v)
	}
	c.CMPQ(v, end)
	c.JLT(operand.LabelRef("four"))
	ret(c)
}

// planesBytes is the distance of rows of integer weights, two planes of
// cpu.splitTokens bytes.
const planesBytes = 2 * 256

const addIntsSignature = "func(o []int32, p []uint8, v []int8, n, dim int)"

// addIntRows writes addIntsAVX2. It puts weights together again, 16 bits each: then
// a product of two goes to int32 at once, where planes of seven bits would be
// multiplied one by one. Four values of a dimension are an int32 of bytes; a shift or
// two make int16s of the even ones, and of the odd ones.
//
//	i32 += pmaddwd(weights, values)    |2·weightMax·127| < 2³¹; the sums by contract
func addIntRows(c *build.Context) {
	begin(c, "addIntsAVX2", addIntsSignature, "valueKernels.addInts4 and addInts8.")
	weights := pairs{c.AllocLocal(4 * pairsBytes)}
	shapes := []tileShape{{4, []int{2}}, {1, []int{4}}}
	sumTiles{32, planesBytes, 4}.emit(c, shapes, func(t sumTile) { weights.set(c, t.p, t.n, t.rows) }, func(t sumTile) {
		acc := grid(t.rows, t.vectors, c.YMM)
		for r := range t.rows {
			for i, s := range acc[r] {
				c.VMOVDQU(t.sum(r, i), s)
			}
		}
		t.each(c, func(step reg.GPVirtual) {
			x := grid(2, t.vectors, c.YMM)
			for i := range t.vectors {
				c.VMOVDQU(at(t.value, 32*i), x[1][i])
				c.VPSLLW(operand.U8(8), x[1][i], x[0][i])
				c.VPSRAW(operand.U8(8), x[0][i], x[0][i])
				c.VPSRAW(operand.U8(8), x[1][i], x[1][i])
			}
			for r := range t.rows {
				for odd := range 2 {
					w := c.YMM()
					c.VPBROADCASTD(weights.at(r, odd, step), w)
					for i, s := range acc[r] {
						y := c.YMM()
						c.VPMADDWD(x[odd][i], w, y)
						c.VPADDD(y, s, s)
					}
				}
			}
		})
		for r := range t.rows {
			for i, s := range acc[r] {
				c.VMOVDQU(s, t.sum(r, i))
			}
		}
	})
}

// pairs are weights of rows as int16: of each row those of even columns, then those
// of odd ones.
type pairs struct{ operand.Mem }

// pairsBytes is what a row takes: two bytes a token of a page.
const pairsBytes = 2 * 64

// at is the address of two weights of four columns from step on.
func (w pairs) at(row, odd int, step reg.GPVirtual) operand.Mem {
	m := w.Offset(row*pairsBytes + odd*pairsBytes/2)
	m.Index, m.Scale = step, 1
	return m
}

// set emits the loop that puts the planes of rows together, n columns of each.
func (w pairs) set(c *build.Context, p, n reg.GPVirtual, rows int) {
	even := c.YMM()
	c.VPCMPEQW(even, even, even)
	c.VPSRLW(operand.U8(8), even, even)
	to, from, end := c.GP64(), c.GP64(), c.GP64()
	c.LEAQ(w.Mem, to)
	c.LEAQ(w.Offset(rows*pairsBytes), end)
	c.MOVQ(p, from)
	loop := fmt.Sprintf("pairs%d", rows)
	c.Label(loop)
	eachOf(c, loop, n, []int{32, 4}, func(i reg.GPVirtual, width int) {
		vector, move, mask := c.YMM, c.VMOVDQU, reg.Register(even)
		if width == 4 {
			vector, move, mask = c.XMM, c.VMOVD, even.AsX()
		}
		upper, lower, a, b := vector(), vector(), vector(), vector()
		move(indexed(from, i, 1), upper)
		move(indexed(from, i, 1).Offset(planesBytes/2), lower)
		c.VPAND(mask, upper, a)
		c.VPAND(mask, lower, b)
		c.VPSRLW(operand.U8(8), upper, upper)
		c.VPSRLW(operand.U8(8), lower, lower)
		c.VPSLLW(operand.U8(7), a, a)
		c.VPSLLW(operand.U8(7), upper, upper)
		c.VPOR(b, a, a)
		c.VPOR(lower, upper, upper)
		move(a, indexed(to, i, 1))
		move(upper, indexed(to, i, 1).Offset(pairsBytes/2))
	})
	c.ADDQ(operand.I32(pairsBytes), to)
	c.ADDQ(operand.I32(planesBytes), from)
	c.CMPQ(to, end)
	c.JLT(operand.LabelRef(loop))
}
