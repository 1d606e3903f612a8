//go:build !purego

#include "textflag.h"
#include "neon.h"

// KEY adds to lo and hi the products of the eight floats at key and V8, V9.
#define KEY(key, lo, hi) \
	VLD1.P 32(key), [V10.S4, V11.S4]; \
	VFMLA V8.S4, V10.S4, lo.S4; VFMLA V9.S4, V11.S4, hi.S4

#define ZERO(v) VEOR v.B16, v.B16, v.B16

// func scoresFloatNEON(s, k, q []float32, scale float32, n, dim int)
//
// Four keys at a time, eight lanes each, which fp.Sum8 adds: halves, quarters, and
// the last two by FADDP.
TEXT ·scoresFloatNEON(SB), NOSPLIT, $0-96
	MOVD  s_base+0(FP), R0
	MOVD  k_base+24(FP), R1
	MOVD  q_len+56(FP), R2
	FMOVS scale+72(FP), F31
	VDUP  V31.S[0], V31.S4
	MOVD  n+80(FP), R3
	MOVD  dim+88(FP), R5
	ZERO(V30)

keys:
	MOVD q_base+48(FP), R6
	MOVD R2, R8
	MOVD R0, R9

rows:
	MOVD R1, R10
	ADD  R5<<2, R10, R11
	ADD  R5<<2, R11, R12
	ADD  R5<<2, R12, R13
	MOVD R5, R14
	ZERO(V0); ZERO(V1); ZERO(V2); ZERO(V3)
	ZERO(V4); ZERO(V5); ZERO(V6); ZERO(V7)

dims:
	VLD1.P 32(R6), [V8.S4, V9.S4]
	KEY(R10, V0, V1)
	KEY(R11, V2, V3)
	KEY(R12, V4, V5)
	KEY(R13, V6, V7)
	SUBS   $8, R14
	BNE    dims

	FADD4S(1, 0, 0); FADD4S(3, 2, 2); FADD4S(5, 4, 4); FADD4S(7, 6, 6)
	VZIP1 V2.D2, V0.D2, V1.D2
	VZIP2 V2.D2, V0.D2, V3.D2
	VZIP1 V6.D2, V4.D2, V5.D2
	VZIP2 V6.D2, V4.D2, V7.D2
	FADD4S(3, 1, 1); FADD4S(7, 5, 5)
	FADDP4S(5, 1, 0)
	FADD4S(30, 0, 0)                  // fp.Dot's total starts from 0
	FMUL4S(31, 0, 0)
	VST1  [V0.S4], (R9)
	ADD   $1024, R9
	SUBS  R5, R8
	BNE   rows

	ADD  R5<<4, R1
	ADD  $16, R0
	SUBS $4, R3
	BNE  keys
	RET
