//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "exp_arm64.h"

// SUM8 stores fp.Sum8 of the lanes in lo and hi.
#define SUM8(lo, hi, LO, to) \
	FADD4S(hi, lo, lo); \
	VEXT $8, LO.B16, LO.B16, V0.B16; \
	FADD4S(0, lo, lo); \
	FADDP2S(lo, 0); \
	FMOVS.P F0, 4(to)

// func softmaxNEON(s, scale, zero, m, l, c []float32)
//
// A row's maximum, then everything else in one pass: V28, V29 are the lanes of l,
// V30, V31 those of c, V15 is the maximum.
TEXT ·softmaxNEON(SB), NOSPLIT, $0-144
	MOVD s_base+0(FP), R0
	MOVD scale_len+32(FP), R3
	MOVD m_base+72(FP), R4
	MOVD m_len+80(FP), R5
	MOVD l_base+96(FP), R6
	MOVD c_base+120(FP), R7
	EXP_CONSTANTS(R8)

rows:
	MOVD R0, R9
	MOVD R3, R10
	MOVW $0xff800000, R11
	VDUP R11, V15.S4

max:
	VLD1.P 32(R9), [V0.S4, V1.S4]
	FMAX4S(0, 15, 15)
	FMAX4S(1, 15, 15)
	SUBS   $8, R10
	BNE    max
	FMAXV4S(15, 15)
	FMOVS.P F15, 4(R4)
	VDUP   V15.S[0], V15.S4

	MOVD R0, R9
	MOVD R3, R10
	MOVD scale_base+24(FP), R1
	MOVD zero_base+48(FP), R2
	VEOR V28.B16, V28.B16, V28.B16
	VEOR V29.B16, V29.B16, V29.B16
	VEOR V30.B16, V30.B16, V30.B16
	VEOR V31.B16, V31.B16, V31.B16

exp:
	VLD1   (R9), [V0.S4, V1.S4]
	FSUB4S(15, 0, 0); FSUB4S(15, 1, 1)
	EXP
	VLD1.P 32(R1), [V10.S4, V11.S4]
	VLD1.P 32(R2), [V12.S4, V13.S4]
	FADD4S(0, 28, 28); FADD4S(1, 29, 29)
	VFMLA  V0.S4, V12.S4, V30.S4
	VFMLA  V1.S4, V13.S4, V31.S4
	FMUL4S(10, 0, 0); FMUL4S(11, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R9)
	SUBS   $8, R10
	BNE    exp

	SUM8(28, 29, V28, R6)
	SUM8(30, 31, V30, R7)
	ADD  $1024, R0
	SUBS $1, R5
	BNE  rows
	RET
