package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avxVNNI marks the instructions that encodeVEX spells out: AVX-VNNI's, which
// neither avo nor Go's assembler knows. Their VPDPBUSD of 32 bytes is AVX-512 VL's,
// which faults on the CPUs that AVX-VNNI is for.
const avxVNNI = "AVXVNNI"

// vpdpbusd adds to each int32 of sum four products of bytes, u8 unsigned and s8
// signed, with AVX-VNNI.
func vpdpbusd(c *build.Context, s8, u8, sum reg.VecVirtual) {
	c.Instruction(&ir.Instruction{
		Opcode:   "VPDPBUSD",
		Operands: []operand.Op{s8, u8, sum},
		Inputs:   []operand.Op{s8, u8, sum},
		Outputs:  []operand.Op{sum},
		ISA:      []string{avxVNNI},
	})
}

// encodeVEX replaces what vpdpbusd wrote, once registers are allocated, by its
// bytes and their GNU form, which TestVEX assembles and compares.
func encodeVEX(f *ir.File) error {
	for _, fn := range f.Functions() {
		for _, n := range fn.Nodes {
			i, ok := n.(*ir.Instruction)
			if !ok || len(i.ISA) != 1 || i.ISA[0] != avxVNNI {
				continue
			}
			var r [3]byte
			for j, op := range i.Operands {
				p, ok := op.(reg.Physical)
				if !ok || p.Size() != 32 || p.PhysicalIndex() > 15 {
					return fmt.Errorf("%s: VPDPBUSD of %s: AVX-VNNI takes Y0 to Y15", fn.Name, op.Asm())
				}
				r[j] = byte(p.PhysicalIndex())
			}
			s8, u8, sum := r[0], r[1], r[2]
			// VEX.256.66.0F38.W0 50 /r; the prefix holds the inverse of its register bits.
			b := [5]byte{
				0xc4,
				(^sum>>3&1)<<7 | 1<<6 | (^s8>>3&1)<<5 | 2, // R X B, map 0F38
				(^u8&15)<<3 | 1<<2 | 1,                    // vvvv, 256 bits, 66
				0x50,
				3<<6 | (sum&7)<<3 | s8&7,
			}
			// An instruction without operands is printed as its opcode stands.
			i.Opcode = fmt.Sprintf("LONG $0x%02x%02x%02x%02x; BYTE $0x%02x // {vex} vpdpbusd %%ymm%d, %%ymm%d, %%ymm%d",
				b[3], b[2], b[1], b[0], b[4], s8, u8, sum)
			i.Operands = nil
		}
	}
	return nil
}
