package asmgen

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// floatWiden writes widen<Type>AVX2.
func floatWiden(c *build.Context) {
	int4Data(c)
	for _, t := range floatTypes {
		name := "widen" + t.name + "AVX2"
		function(c, name, "func(dst []float32, stride int, src []byte, n int)",
			name+" sets dst to n weights of src as float32, a multiple of 64: eight, and the",
			"next eight stride elements on.")
		dst, stride, src, n := base(c, "dst"), integer(c, "stride"), base(c, "src"), integer(c, "n")
		k := t.constants(c)
		c.SHLQ(operand.U8(2), stride)
		stride3 := c.GP64()
		c.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, stride3)
		c.Label("group")
		t.widen(c, k, at(src, 0), func(i int, v reg.VecVirtual) {
			to := [...]operand.Mem{
				{Base: dst},
				{Base: dst, Index: stride, Scale: 1},
				{Base: dst, Index: stride, Scale: 2},
				{Base: dst, Index: stride3, Scale: 1},
			}
			c.VMOVUPS(v, to[i%4])
			if i%4 == 3 {
				c.LEAQ(operand.Mem{Base: dst, Index: stride, Scale: 4}, dst)
			}
		})
		c.ADDQ(operand.U32(t.bytes), src)
		c.SUBQ(operand.U8(floatGroup), n)
		c.JNZ(operand.LabelRef("group"))
		ret(c)
	}
}
