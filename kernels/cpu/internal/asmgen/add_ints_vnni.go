package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vnni are the instructions of an instruction set that has VPDPBUSD.
type vnni struct {
	vector, zeroed func() reg.VecVirtual
	move           func(from, to operand.Op)
	dot            func(s8, u8, sum reg.VecVirtual)
}

// addIntsAVXVNNI writes the function of that name, in registers of 32 bytes.
func addIntsAVXVNNI(c *build.Context) {
	addIntsByPlane(c, "addIntsAVXVNNI", 32, []tileShape{{2, []int{2}}, {1, []int{4}}}, vnni{
		vector: c.YMM, zeroed: func() reg.VecVirtual { return zeroed(c) },
		move: c.VMOVDQU, dot: func(s8, u8, sum reg.VecVirtual) { vpdpbusd(c, s8, u8, sum) },
	})
}

// addIntsVNNI writes the function of that name, in registers of 64 bytes.
func addIntsVNNI(c *build.Context) {
	addIntsByPlane(c, "addIntsVNNI", 64, []tileShape{{4, []int{2}}, {1, []int{4, 2}}}, vnni{
		vector: c.ZMM, zeroed: func() reg.VecVirtual { return zeroed512(c) },
		move: func(from, to operand.Op) { c.VMOVDQU32(from, to) },
		dot:  func(s8, u8, sum reg.VecVirtual) { c.VPDPBUSD(s8, u8, sum) },
	})
}

// addIntsByPlane writes either, in registers of size bytes. Each plane of weights has
// its own sums: int32s of four products.
//
//	i32 += vpdpbusd(weights, values)    o += upper<<7 + lower; the sums by contract
func addIntsByPlane(c *build.Context, name string, size int, shapes []tileShape, k vnni) {
	begin(c, name, addIntsSignature, "valueKernels.addInts4 and addInts8.")
	sumTiles{size, planesBytes, 4}.emit(c, shapes, func(sumTile) {}, func(t sumTile) {
		var acc [2][][]reg.VecVirtual
		for plane := range acc {
			acc[plane] = grid(t.rows, t.vectors, k.zeroed)
		}
		t.each(c, func(value reg.GPVirtual) {
			x := grid(1, t.vectors, k.vector)[0]
			for i, x := range x {
				k.move(at(t.value, size*i), x)
			}
			for r := range t.rows {
				for plane := range acc {
					w := k.vector()
					c.VPBROADCASTD(t.weight(r, value, 1).Offset(plane*planesBytes/2), w)
					for i, x := range x {
						k.dot(x, w, acc[plane][r][i])
					}
				}
			}
		})
		for r := range t.rows {
			for i, y := range acc[0][r] {
				c.VPSLLD(operand.U8(7), y, y)
				c.VPADDD(acc[1][r][i], y, y)
				c.VPADDD(t.sum(r, i), y, y)
				k.move(y, t.sum(r, i))
			}
		}
	})
}
