package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// addValues writes addValuesAVX2, mergeAVX2 and divideAVX2. Four rows by 16 elements,
// and what rows are left one by one, 64 or 32 elements: either way eight chains of FMAs
// hide their latency.
func addValues(c *build.Context) {
	begin(c, "addValuesAVX2", "func(o, p, v []float32, n, dim int)", "attentionKernels.addValues.")
	shapes := []tileShape{{4, []int{2}}, {1, []int{8, 4}}}
	sumTiles{32, splitBytes, 1}.emit(c, shapes, func(sumTile) {}, func(t sumTile) { addTile(c, t) })

	begin(c, "mergeAVX2", "func(o, part []float32, a, b, c float32)", "attentionKernels.merge.")
	o, part, n := base(c, "o"), base(c, "part"), length(c, "o")
	a, b, corr := broadcast(c, "a"), broadcast(c, "b"), broadcast(c, "c")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		x := c.YMM()
		c.VADDPS(indexed(part, i, 4), corr, x)
		c.VMULPS(b, x, x)
		c.VFMADD231PS(indexed(o, i, 4), a, x)
		c.VMOVUPS(x, indexed(o, i, 4))
	})
	ret(c)

	begin(c, "divideAVX2", "func(out, o []float32, l float32)", "attentionKernels.divide.")
	out, o, n := base(c, "out"), base(c, "o"), length(c, "o")
	l, zero := broadcast(c, "l"), zeroed(c)
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		x := c.YMM()
		c.VMOVUPS(indexed(o, i, 4), x)
		c.VDIVPS(l, x, x)
		c.VADDPS(zero, x, x)
		c.VMOVUPS(x, indexed(out, i, 4))
	})
	ret(c)
}

// addTile adds n values to the sums of a tile.
func addTile(c *build.Context, t sumTile) {
	acc := grid(t.rows, t.vectors, c.YMM)
	for r := range acc {
		for i, sum := range acc[r] {
			c.VMOVUPS(t.sum(r, i), sum)
		}
	}
	t.each(c, func(value reg.GPVirtual) {
		x := make([]operand.Op, t.vectors)
		for i := range x {
			x[i] = at(t.value, 32*i)
			if t.rows > 1 {
				y := c.YMM()
				c.VMOVUPS(x[i], y)
				x[i] = y
			}
		}
		for r := range acc {
			w := c.YMM()
			c.VBROADCASTSS(t.weight(r, value, 4), w)
			for i, sum := range acc[r] {
				c.VFMADD231PS(x[i], w, sum)
			}
		}
	})
	for r := range acc {
		for i, sum := range acc[r] {
			c.VMOVUPS(sum, t.sum(r, i))
		}
	}
}
