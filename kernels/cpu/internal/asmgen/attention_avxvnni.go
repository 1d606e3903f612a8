package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scoresAVXVNNI writes scores4AVXVNNI and scores8AVXVNNI, of keys turned for AVX2.
//
//	4 bits  i32 += vpdpbusd(k, q)
//	8 bits  i32 += vpdpbusd(|k|, ±q)    |128·127·256| < 2²⁴: exact as float32
func scoresAVXVNNI(c *build.Context) {
	for _, bits := range []int{4, 8} {
		t := newScores(c, bits, "AVXVNNI")
		t.forKeys([]int{4, 1}, func() func(rows int) {
			return func(rows int) { t.store(t.productsAVXVNNI(rows)) }
		})
	}
}

// productsAVXVNNI is productsAVX2. One query alone has four sums of each eight keys,
// since a product waits for the one before it.
func (t *scores) productsAVXVNNI(rows int) [][]reg.VecVirtual {
	c := t.Context
	acc := make([][][]reg.VecVirtual, 4/rows)
	for i := range acc {
		acc[i] = grid(rows, 2, func() reg.VecVirtual { return zeroed(c) })
	}
	q, k, left, dim3 := c.GP64(), c.GP64(), c.GP64(), c.GP64()
	c.MOVQ(t.q, q)
	c.MOVQ(t.k, k)
	c.MOVQ(t.dim, left)
	if rows > 3 {
		c.LEAQ(operand.Mem{Base: t.dim, Index: t.dim, Scale: 2}, dim3)
	}
	label := fmt.Sprintf("dims%d", rows)
	c.Label(label)
	for j := range 4 {
		key, size := grid(1, 2, c.YMM)[0], grid(1, 2, c.YMM)[0]
		for i := range key {
			c.VMOVDQU(at(k, 64*j+32*i), key[i])
			if t.bits == 8 {
				c.VPABSB(key[i], size[i])
			}
		}
		for r := range rows {
			x := c.YMM()
			c.VPBROADCASTD(strided(q, map[int]reg.GPVirtual{1: t.dim, 3: dim3}, r, 4*j), x)
			for i, sum := range acc[j%len(acc)][r] {
				if t.bits == 4 {
					vpdpbusd(c, x, key[i], sum)
					continue
				}
				y := c.YMM()
				c.VPSIGNB(key[i], x, y)
				vpdpbusd(c, y, size[i], sum)
			}
		}
	}
	c.ADDQ(operand.U32(4*64), k)
	c.ADDQ(operand.U8(4*4), q)
	c.SUBQ(operand.U8(4*4), left)
	c.JNZ(operand.LabelRef(label))
	for _, more := range acc[1:] {
		for r := range rows {
			for i, sum := range more[r] {
				c.VPADDD(sum, acc[0][r][i], acc[0][r][i])
			}
		}
	}
	return acc[0]
}
