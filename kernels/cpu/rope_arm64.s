//go:build !purego

#include "textflag.h"
#include "neon.h"

// func rotateNEON(y, x, cos, sin []float32)
//
// No FMA: each product is rounded.
TEXT ·rotateNEON(SB), NOSPLIT, $0-96
	MOVD y_base+0(FP), R0
	MOVD x_base+24(FP), R1
	MOVD cos_base+48(FP), R2
	MOVD cos_len+56(FP), R4
	MOVD sin_base+72(FP), R3
	ADD  R4<<2, R0, R5
	ADD  R4<<2, R1, R6
	CBZ  R4, done

loop:
	VLD1.P 32(R2), [V0.S4, V1.S4]
	VLD1.P 32(R3), [V2.S4, V3.S4]
	VLD1.P 32(R1), [V4.S4, V5.S4]
	VLD1.P 32(R6), [V6.S4, V7.S4]
	FMUL4S(0, 4, 8); FMUL4S(1, 5, 9)
	FMUL4S(2, 6, 10); FMUL4S(3, 7, 11)
	FMUL4S(0, 6, 12); FMUL4S(1, 7, 13)
	FMUL4S(2, 4, 14); FMUL4S(3, 5, 15)
	FSUB4S(10, 8, 8); FSUB4S(11, 9, 9)
	FADD4S(14, 12, 12); FADD4S(15, 13, 13)
	VST1.P [V8.S4, V9.S4], 32(R0)
	VST1.P [V12.S4, V13.S4], 32(R5)
	SUBS   $8, R4
	BNE    loop

done:
	RET
