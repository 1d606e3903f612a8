package asmgen

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scoresInt512 writes scores4VNNI and scores8VNNI, sixteen keys at a time, which
// turnKeys has turned so that a register holds four elements of each: no sum goes
// across lanes.
//
//	4 bits  i32 += vpdpbusd(k, q)
//	8 bits  i32 += vpdpbusd(k+128, q), less 128·Σq    |255·127·256| < 2²⁴: exact as float32
func scoresInt512(c *build.Context) {
	vectorData(c, "scoresMinus128", math.Float32bits(-128))
	for _, bits := range []int{4, 8} {
		name := fmt.Sprintf("scores%d", bits)
		begin(c, name+"VNNI", "func(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)", "scoreKernels."+name+", of keys that turnKeys turned.")
		s, k, kscale, kzero := base(c, "s"), base(c, "k"), base(c, "kscale"), base(c, "kzero")
		n, dim := length(c, "kscale"), integer(c, "dim")

		c.Label("keys")
		scale, zero := c.ZMM(), c.ZMM()
		c.VMOVUPS(operand.Mem{Base: kscale}, scale)
		c.VMOVUPS(operand.Mem{Base: kzero}, zero)

		q, a, rows, to := base(c, "q"), base(c, "a"), length(c, "a"), c.GP64()
		c.MOVQ(s, to)
		for _, tile := range []int{8, 4, 1} {
			loop, end := fmt.Sprintf("rows%d", tile), fmt.Sprintf("end%d", tile)
			c.Label(loop)
			c.CMPQ(rows, operand.U8(tile))
			c.JLT(operand.LabelRef(end))
			acc := scoreTile(c, tile, q, k, dim)
			for r := range tile {
				y := acc[r]
				part := func(i int) operand.Mem { return operand.Mem{Base: a, Disp: r*queryBytes + 4*i} }
				c.VCVTDQ2PS(y, y)
				c.VADDPS_BCST(part(0), y, y)
				if bits == 8 {
					c.VFMADD231PS_BCST(data("scoresMinus128"), broadcast512(c, part(1)), y)
				}
				c.VMULPS(scale, y, y)
				c.VFMADD231PS_BCST(part(1), zero, y)
				c.VMULPS_BCST(part(2), y, y)
				c.VMOVUPS(y, operand.Mem{Base: to, Disp: r * splitBytes})
			}
			c.ADDQ(operand.U32(tile*splitBytes), to)
			c.ADDQ(operand.U8(tile*queryBytes), a)
			c.SUBQ(operand.U8(tile), rows)
			if tile > 1 {
				c.LEAQ(operand.Mem{Base: q, Index: dim, Scale: uint8(tile)}, q)
			} else {
				c.ADDQ(dim, q)
			}
			c.JMP(operand.LabelRef(loop))
			c.Label(end)
		}
		for range 2 {
			c.LEAQ(operand.Mem{Base: k, Index: dim, Scale: 8}, k)
		}
		for _, p := range []reg.GPVirtual{kscale, kzero, s} {
			c.ADDQ(operand.U8(64), p)
		}
		c.SUBQ(operand.U8(16), n)
		c.JNZ(operand.LabelRef("keys"))
		ret(c)
	}
}

func broadcast512(c *build.Context, m operand.Mem) reg.VecVirtual {
	z := c.ZMM()
	c.VBROADCASTSS(m, z)
	return z
}

// scoreTile returns the products of sixteen turned keys with tile queries. One
// query alone has four sums, since a product waits for the one before it.
func scoreTile(c *build.Context, tile int, q, k, dim reg.GPVirtual) []reg.VecVirtual {
	chains := max(1, 4/tile)
	acc := make([]reg.VecVirtual, tile*chains)
	for i := range acc {
		acc[i] = zeroed512(c)
	}
	rows := newEight(c, dim)
	rows.start(c, q)
	keys, left := c.GP64(), c.GP64()
	c.MOVQ(k, keys)
	c.MOVQ(dim, left)
	label := fmt.Sprintf("dims%d", tile)
	const unroll = 4
	c.Label(label)
	for j := range unroll {
		z := c.ZMM()
		c.VMOVDQU32(operand.Mem{Base: keys, Disp: 64 * j}, z)
		for r := range tile {
			c.VPDPBUSD_BCST(rows.row(r, 4*j), z, acc[r+j%chains])
		}
	}
	c.ADDQ(operand.U32(64*unroll), keys)
	rows.advance(c, 4*unroll)
	c.SUBQ(operand.U8(4*unroll), left)
	c.JNZ(operand.LabelRef(label))
	for _, v := range acc[tile:] {
		c.VPADDD(v, acc[0], acc[0])
	}
	return acc[:tile]
}
