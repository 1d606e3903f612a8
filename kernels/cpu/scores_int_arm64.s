//go:build !purego

#include "textflag.h"
#include "neon.h"

// KEY adds to sum the products of the 32 bytes at key and V4, V5.
#define KEY(key, sum) \
	VLD1.P 32(key), [V6.B16, V7.B16]; \
	SMULL(6, 4, 8); SMLAL2(6, 4, 8); \
	SMULL(7, 5, 9); SMLAL2(7, 5, 9); \
	SADALP(8, sum); SADALP(9, sum)

// func scores4NEON(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)
//
// Bytes 0..15 are int8s.
TEXT ·scores4NEON(SB), NOSPLIT, $0-152
	B ·scores8NEON(SB)

// func scores8NEON(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)
//
// Four keys at a time: i16 = smull + smlal   |2·128·127| < 2¹⁵; i32 += sadalp(i16).
TEXT ·scores8NEON(SB), NOSPLIT, $0-152
	MOVD s_base+0(FP), R0
	MOVD k_base+24(FP), R1
	MOVD kscale_base+96(FP), R2
	MOVD kscale_len+104(FP), R3
	MOVD kzero_base+120(FP), R4
	MOVD dim+144(FP), R5

keys:
	VLD1.P 16(R2), [V20.S4]
	VLD1.P 16(R4), [V21.S4]
	MOVD   q_base+48(FP), R6
	MOVD   a_base+72(FP), R7
	MOVD   a_len+80(FP), R8
	MOVD   R0, R9

rows:
	MOVD R1, R10
	ADD  R5, R10, R11
	ADD  R5, R11, R12
	ADD  R5, R12, R13
	MOVD R5, R14
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16

dims:
	VLD1.P 32(R6), [V4.B16, V5.B16]
	KEY(R10, 0)
	KEY(R11, 1)
	KEY(R12, 2)
	KEY(R13, 3)
	SUBS   $32, R14
	BNE    dims

	VADDP   V1.S4, V0.S4, V0.S4
	VADDP   V3.S4, V2.S4, V2.S4
	VADDP   V2.S4, V0.S4, V0.S4
	SCVTF4S(0, 0)
	VLD1R.P 4(R7), [V22.S4]
	VLD1R.P 4(R7), [V23.S4]
	VLD1R.P 4(R7), [V24.S4]
	FADD4S(22, 0, 0)
	FMUL4S(20, 0, 0)
	VFMLA   V23.S4, V21.S4, V0.S4
	FMUL4S(24, 0, 0)
	VST1    [V0.S4], (R9)
	ADD     $1024, R9
	SUBS    $1, R8
	BNE     rows

	ADD  R5<<2, R1
	ADD  $16, R0
	SUBS $4, R3
	BNE  keys
	RET
