//go:build !purego

#include "textflag.h"
#include "neon.h"

// func weighNEON(p []uint8, s, unit []float32, n int)
//
// A row's maximum, then 16 weights at a time. The largest is at most
// 16383·(1+2⁻²²), which rounds to 16383: 14 bits, so narrowing loses none.
//
//	i32 = fcvtns(s·inv)     i16, by even halves
//	upper = i16 >> 7        lower = i16 & 127, bytes by even ones
//
// V31 is weightMax, V30 1/weightMax, V29 weightTiny, V28 zero, V27 127.
TEXT ·weighNEON(SB), NOSPLIT, $0-80
	MOVD  p_base+0(FP), R0
	MOVD  s_base+24(FP), R1
	MOVD  unit_base+48(FP), R2
	MOVD  unit_len+56(FP), R3
	MOVD  n+72(FP), R4
	FMOVS $(16383.0), F31
	FMOVS $(6.103888176768602e-05), F30
	FMOVS $(7.888609052210118e-31), F29
	VEOR  V28.B16, V28.B16, V28.B16
	VMOVI $127, V27.B16

rows:
	VEOR V16.B16, V16.B16, V16.B16
	MOVD R1, R6
	MOVD R4, R7

max:
	VLD1.P 64(R6), [V0.S4, V1.S4, V2.S4, V3.S4]
	FMAX4S(1, 0, 0)
	FMAX4S(3, 2, 2)
	FMAX4S(0, 16, 16)
	FMAX4S(2, 16, 16)
	SUBS   $16, R7
	BNE    max
	FMAXV4S(16, 16)

	FDIVS   F16, F31, F17
	FMULS   F30, F16, F18
	FCMPS   F29, F16
	FCSELS  MI, F28, F17, F17
	FCSELS  MI, F28, F18, F18
	FMOVS.P F18, 4(R2)
	VDUP    V17.S[0], V17.S4

	MOVD R0, R5
	MOVD R1, R6
	MOVD R4, R7

round:
	VLD1.P 64(R6), [V0.S4, V1.S4, V2.S4, V3.S4]
	FMUL4S(17, 0, 0); FMUL4S(17, 1, 1)
	FMUL4S(17, 2, 2); FMUL4S(17, 3, 3)
	FCVTNS4S(0, 0); FCVTNS4S(1, 1)
	FCVTNS4S(2, 2); FCVTNS4S(3, 3)
	VUZP1  V1.H8, V0.H8, V0.H8
	VUZP1  V3.H8, V2.H8, V2.H8
	VUZP1  V2.B16, V0.B16, V1.B16
	VAND   V27.B16, V1.B16, V1.B16
	VUSHR  $7, V0.H8, V0.H8
	VUSHR  $7, V2.H8, V2.H8
	VUZP1  V2.B16, V0.B16, V0.B16
	FMOVQ  F1, 256(R5)
	VST1.P [V0.B16], 16(R5)
	SUBS   $16, R7
	BNE    round

	ADD  $512, R0
	ADD  $1024, R1
	SUBS $1, R3
	BNE  rows
	RET

// func scaleIntsNEON(o []float32, sums []int32, unit float32)
TEXT ·scaleIntsNEON(SB), NOSPLIT, $0-52
	MOVD  o_base+0(FP), R0
	MOVD  o_len+8(FP), R2
	MOVD  sums_base+24(FP), R1
	FMOVS unit+48(FP), F31
	VDUP  V31.S[0], V31.S4

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	SCVTF4S(0, 0); SCVTF4S(1, 1)
	FMUL4S(31, 0, 0); FMUL4S(31, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS   $8, R2
	BNE    loop
	RET
