package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// turnKeys writes turnKeys4AVX512 and turnKeys8AVX512: sixteen bytes of each of
// sixteen keys at a time, in lanes of every fourth key, whose four columns of dwords
// are transposed within the lanes.
func turnKeys(c *build.Context) {
	vectorData(c, "turnNibble", 0x0f0f0f0f)
	vectorData(c, "turnFlip", 0x80808080)
	for _, bits := range []int{4, 8} {
		name := fmt.Sprintf("turnKeys%dAVX512", bits)
		function(c, name, "func(dst, src []uint8, dim int)",
			name+" sets dst [n/16, dim/4, 16, 4] to src's n keys, unsigned: nibbles as they are,",
			"int8s plus 128. Four elements of sixteen keys stand side by side.")
		dst, k, dim, end := base(c, "dst"), base(c, "src"), integer(c, "dim"), length(c, "src")
		c.LEAQ(operand.Mem{Base: k, Index: end, Scale: 1}, end)
		c.Label("keys")
		turn16(c, bits, k, dim, dst)
		for range 2 { // sixteen vectors of dim·bits/8 bytes
			c.LEAQ(operand.Mem{Base: k, Index: dim, Scale: uint8(bits)}, k)
		}
		for range 2 {
			c.LEAQ(operand.Mem{Base: dst, Index: dim, Scale: 8}, dst)
		}
		c.CMPQ(k, end)
		c.JLT(operand.LabelRef("keys"))
		ret(c)
	}
}

// turn16 turns sixteen keys.
func turn16(c *build.Context, bits int, k, dim, dst reg.GPVirtual) {
	size, step3 := dim, c.GP64()
	if bits == 4 {
		size = c.GP64()
		c.MOVQ(dim, size)
		c.SHRQ(operand.U8(1), size)
	}
	c.LEAQ(operand.Mem{Base: size, Index: size, Scale: 2}, step3)
	var lane [4]reg.GPVirtual // keys 0, 4, 8 and 12
	for i := range lane {
		lane[i] = c.GP64()
		if i == 0 {
			c.MOVQ(k, lane[i])
		} else {
			c.LEAQ(operand.Mem{Base: lane[i-1], Index: size, Scale: 4}, lane[i])
		}
	}
	low, high, left := c.GP64(), c.GP64(), c.GP64()
	c.MOVQ(dst, low)
	c.LEAQ(operand.Mem{Base: dst, Index: dim, Scale: 8}, high)
	c.MOVQ(size, left)
	mask := c.ZMM()
	if bits == 4 {
		c.VBROADCASTSS(data("turnNibble"), mask)
	} else {
		c.VBROADCASTSS(data("turnFlip"), mask)
	}

	c.Label("turn")
	var z [4]reg.VecVirtual
	for i := range z {
		z[i] = c.ZMM()
		at := func(l int) operand.Mem {
			m := operand.Mem{Base: lane[l]}
			switch i {
			case 1, 2:
				m.Index, m.Scale = size, uint8(i)
			case 3:
				m.Index, m.Scale = step3, 1
			}
			return m
		}
		c.VMOVDQU(at(0), z[i].AsX())
		for l := 1; l < 4; l++ {
			c.VINSERTI32X4(operand.U8(l), at(l), z[i], z[i])
		}
	}
	var t [4]reg.VecVirtual
	for i := range t {
		t[i] = c.ZMM()
	}
	transpose(c, z, t)
	for i, z := range z {
		if bits == 8 {
			c.VPXORD(mask, z, z)
			c.VMOVDQU32(z, operand.Mem{Base: low, Disp: 64 * i})
			continue
		}
		c.VPANDD(mask, z, t[i])
		c.VMOVDQU32(t[i], operand.Mem{Base: low, Disp: 64 * i})
		c.VPSRLW(operand.U8(4), z, z)
		c.VPANDD(mask, z, z)
		c.VMOVDQU32(z, operand.Mem{Base: high, Disp: 64 * i})
	}
	for _, l := range lane {
		c.ADDQ(operand.U8(16), l)
	}
	c.ADDQ(operand.U32(256), low)
	if bits == 4 {
		c.ADDQ(operand.U32(256), high)
	}
	c.SUBQ(operand.U8(16), left)
	c.JNZ(operand.LabelRef("turn"))
}
