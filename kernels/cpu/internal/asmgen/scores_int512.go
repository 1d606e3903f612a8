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
		t := newScores(c, bits, "VNNI")
		t.forKeys([]int{8, 4, 1}, func() func(rows int) {
			scale, zero := c.ZMM(), c.ZMM()
			c.VMOVUPS(at(t.kscale, 0), scale)
			c.VMOVUPS(at(t.kzero, 0), zero)
			return func(rows int) { t.store512(t.productsVNNI(rows), scale, zero) }
		})
	}
}

// store512 is store, of products in a register a query, with the keys' scale and zero.
func (t *scores) store512(products []reg.VecVirtual, scale, zero reg.VecVirtual) {
	for r, y := range products {
		part := func(i int) operand.Mem { return at(t.a, r*queryBytes+4*i) }
		t.VCVTDQ2PS(y, y)
		t.VADDPS_BCST(part(0), y, y)
		if t.bits == 8 {
			t.VFMADD231PS_BCST(data("scoresMinus128"), broadcast512(t.Context, part(1)), y)
		}
		t.VMULPS(scale, y, y)
		t.VFMADD231PS_BCST(part(1), zero, y)
		t.VMULPS_BCST(part(2), y, y)
		t.VMOVUPS(y, at(t.to, r*splitBytes))
	}
}

func broadcast512(c *build.Context, m operand.Mem) reg.VecVirtual {
	z := c.ZMM()
	c.VBROADCASTSS(m, z)
	return z
}

// productsVNNI returns the products of sixteen keys with each of count queries. One
// query alone has four sums, since a product waits for the one before it.
func (t *scores) productsVNNI(count int) []reg.VecVirtual {
	c := t.Context
	chains := max(1, 4/count)
	acc := make([]reg.VecVirtual, count*chains)
	for i := range acc {
		acc[i] = zeroed512(c)
	}
	rows := newEight(c, t.dim)
	rows.start(c, t.q)
	keys, left := c.GP64(), c.GP64()
	c.MOVQ(t.k, keys)
	c.MOVQ(t.dim, left)
	label := fmt.Sprintf("dims%d", count)
	const unroll = 4
	c.Label(label)
	for j := range unroll {
		z := c.ZMM()
		c.VMOVDQU32(operand.Mem{Base: keys, Disp: 64 * j}, z)
		for r := range count {
			c.VPDPBUSD_BCST(rows.row(r, 4*j), z, acc[r+j%chains])
		}
	}
	c.ADDQ(operand.U32(64*unroll), keys)
	rows.advance(c, 4*unroll)
	c.SUBQ(operand.U8(4*unroll), left)
	c.JNZ(operand.LabelRef(label))
	for _, v := range acc[count:] {
		c.VPADDD(v, acc[0], acc[0])
	}
	return acc[:count]
}
