package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// rmsnorm writes normalizeAVX2.
func rmsnorm(c *build.Context) {
	begin(c, "normalizeAVX2", "func(y, x, w []float32, r float32)", "rowKernels.normalize.")
	y, x, w, n := base(c, "y"), base(c, "x"), base(c, "w"), length(c, "x")
	r := broadcast(c, "r")
	each(c, "loop", n, 8, func(i reg.GPVirtual) {
		v := c.YMM()
		c.VMULPS(indexed(x, i, 4), r, v)
		c.VMULPS(indexed(w, i, 4), v, v)
		c.VMOVUPS(v, indexed(y, i, 4))
	})
	ret(c)
}
