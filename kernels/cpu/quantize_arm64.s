//go:build !purego

#include "textflag.h"
#include "neon.h"

// func absMaxNEON(x []float32) float32
//
// The bits of |x| order as integers.
TEXT ·absMaxNEON(SB), NOSPLIT, $0-28
	MOVD x_base+0(FP), R0
	MOVD x_len+8(FP), R1
	MOVW $0x7fffffff, R2
	VDUP R2, V31.S4
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	CBZ  R1, done

loop:
	VLD1.P 32(R0), [V2.B16, V3.B16]
	VAND   V31.B16, V2.B16, V2.B16
	VAND   V31.B16, V3.B16, V3.B16
	VUMAX  V2.S4, V0.S4, V0.S4
	VUMAX  V3.S4, V1.S4, V1.S4
	SUBS   $8, R1
	BNE    loop

done:
	VUMAX V1.S4, V0.S4, V0.S4
	UMAXV4S(0, 0)
	FMOVS F0, ret+24(FP)
	RET

// ORDER inverts all bits of negative floats but the sign, so that they order as
// integers, and inverts them back. V31 is 0x7fffffff, V4 is overwritten.
#define ORDER(v, V) \
	SSHR31(v, 4); \
	VAND V31.B16, V4.B16, V4.B16; \
	VEOR V4.B16, V.B16, V.B16

// func minMaxNEON(x []float32) (lo, hi float32)
TEXT ·minMaxNEON(SB), NOSPLIT, $0-32
	MOVD x_base+0(FP), R0
	MOVD x_len+8(FP), R1
	MOVW $0x7fffffff, R2
	VDUP R2, V31.S4
	VDUP R2, V0.S4
	MOVW $0x80000000, R2
	VDUP R2, V1.S4
	CBZ  R1, done

loop:
	VLD1.P 32(R0), [V2.B16, V3.B16]
	ORDER(2, V2)
	ORDER(3, V3)
	SMIN4S(2, 0, 0); SMIN4S(3, 0, 0)
	SMAX4S(2, 1, 1); SMAX4S(3, 1, 1)
	SUBS   $8, R1
	BNE    loop

done:
	SMINV4S(0, 0)
	SMAXV4S(1, 1)
	ORDER(0, V0)
	ORDER(1, V1)
	FMOVS F0, lo+24(FP)
	FMOVS F1, hi+28(FP)
	RET

// func quantizeNEON(q []int8, x []float32, scale, zero, qmax float32) int32
TEXT ·quantizeNEON(SB), NOSPLIT, $0-68
	MOVD  q_base+0(FP), R0
	MOVD  x_base+24(FP), R1
	MOVD  x_len+32(FP), R2
	FMOVS scale+48(FP), F28
	VDUP  V28.S[0], V28.S4
	FMOVS zero+52(FP), F29
	VDUP  V29.S[0], V29.S4
	FMOVS qmax+56(FP), F30
	VDUP  V30.S[0], V30.S4
	FNEG4S(30, 27)
	VEOR  V26.B16, V26.B16, V26.B16
	CBZ   R2, done

loop:
	VLD1.P  32(R1), [V0.S4, V1.S4]
	FSUB4S(29, 0, 0); FSUB4S(29, 1, 1)
	FDIV4S(28, 0, 0); FDIV4S(28, 1, 1)
	FMAX4S(27, 0, 0); FMAX4S(27, 1, 1)
	FMIN4S(30, 0, 0); FMIN4S(30, 1, 1)
	FCVTNS4S(0, 0); FCVTNS4S(1, 1)
	VADD    V0.S4, V26.S4, V26.S4
	VADD    V1.S4, V26.S4, V26.S4
	VUZP1   V1.H8, V0.H8, V2.H8
	VUZP1   V2.B16, V2.B16, V2.B16
	FMOVD.P F2, 8(R0)
	SUBS    $8, R2
	BNE     loop

done:
	VADDV V26.S4, V26
	VMOV  V26.S[0], R3
	MOVW  R3, ret+64(FP)
	RET
