//go:build !purego

#include "textflag.h"
#include "neon.h"

// ROUND sets a to its nearest integer after (a-zero)/scale, clamped: zero is V29,
// scale V28, the bounds V27 and V30.
#define ROUND(a) \
	FSUB4S(29, a, a); FDIV4S(28, a, a); \
	FMAX4S(27, a, a); FMIN4S(30, a, a); \
	FCVTNS4S(a, a)

// func store4NEON(dst []uint8, x []float32, scale, zero, lo, hi, off float32)
TEXT ·store4NEON(SB), NOSPLIT, $0-68
	MOVD  dst_base+0(FP), R0
	MOVD  dst_len+8(FP), R2
	MOVD  x_base+24(FP), R1
	ADD   R2<<2, R1, R3
	FMOVS scale+48(FP), F28
	VDUP  V28.S[0], V28.S4
	FMOVS zero+52(FP), F29
	VDUP  V29.S[0], V29.S4
	FMOVS lo+56(FP), F27
	VDUP  V27.S[0], V27.S4
	FMOVS hi+60(FP), F30
	VDUP  V30.S[0], V30.S4
	FMOVS off+64(FP), F26
	VDUP  V26.S[0], V26.S4
	FCVTNS4S(26, 26)
	CBZ   R2, done

loop:
	VLD1.P  32(R1), [V0.S4, V1.S4]
	VLD1.P  32(R3), [V2.S4, V3.S4]
	ROUND(0)
	ROUND(1)
	ROUND(2)
	ROUND(3)
	VADD    V26.S4, V0.S4, V0.S4
	VADD    V26.S4, V1.S4, V1.S4
	VADD    V26.S4, V2.S4, V2.S4
	VADD    V26.S4, V3.S4, V3.S4
	VSHL    $4, V2.S4, V2.S4
	VSHL    $4, V3.S4, V3.S4
	VORR    V2.B16, V0.B16, V0.B16
	VORR    V3.B16, V1.B16, V1.B16
	VUZP1   V1.H8, V0.H8, V0.H8
	VUZP1   V0.B16, V0.B16, V0.B16
	FMOVD.P F0, 8(R0)
	SUBS    $8, R2
	BNE     loop

done:
	RET

// func store16NEON(dst []uint16, x []float32)
TEXT ·store16NEON(SB), NOSPLIT, $0-48
	MOVD dst_base+0(FP), R0
	MOVD dst_len+8(FP), R2
	MOVD x_base+24(FP), R1
	CBZ  R2, done

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	FCVTN4H(0, 2)
	FCVTN2_8H(1, 2)
	VST1.P [V2.H8], 16(R0)
	SUBS   $8, R2
	BNE    loop

done:
	RET
