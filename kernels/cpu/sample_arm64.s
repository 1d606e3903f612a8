//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "exp_arm64.h"

// LARGER sets m to v where v >= m, which a NaN is not. V4 is overwritten.
#define LARGER(v, V, m, M) \
	FCMGE4S(m, v, 4); \
	VBIT V4.B16, V.B16, M.B16

// func blockMaxNEON(tops, x []float32)
TEXT ·blockMaxNEON(SB), NOSPLIT, $0-48
	MOVD tops_base+0(FP), R0
	MOVD tops_len+8(FP), R1
	MOVD x_base+24(FP), R2
	MOVW $0xff800000, R3
	CBZ  R1, done

blocks:
	VDUP R3, V5.S4
	VDUP R3, V6.S4
	MOVD $8, R4

loop:
	VLD1.P 64(R2), [V0.S4, V1.S4, V2.S4, V3.S4]
	LARGER(0, V0, 5, V5)
	LARGER(1, V1, 6, V6)
	LARGER(2, V2, 5, V5)
	LARGER(3, V3, 6, V6)
	SUBS   $1, R4
	BNE    loop

	LARGER(6, V6, 5, V5)
	FMAXV4S(5, 5)
	FMOVS.P F5, 4(R0)
	SUBS  $1, R1
	BNE   blocks

done:
	RET

// func weighLogitsNEON(w, x []float32, top, scale, least float32) float64
//
// V28 is top, V29 scale, V30 least, V31 WeightOne. V10 and V11 are the sums, exact
// in any order.
TEXT ·weighLogitsNEON(SB), NOSPLIT, $0-72
	MOVD  w_base+0(FP), R0
	MOVD  w_len+8(FP), R1
	MOVD  x_base+24(FP), R2
	FMOVS top+48(FP), F28
	VDUP  V28.S[0], V28.S4
	FMOVS scale+52(FP), F29
	VDUP  V29.S[0], V29.S4
	FMOVS least+56(FP), F30
	VDUP  V30.S[0], V30.S4
	MOVW  $0x53800000, R3
	VDUP  R3, V31.S4
	VEOR  V10.B16, V10.B16, V10.B16
	VEOR  V11.B16, V11.B16, V11.B16
	EXP_CONSTANTS(R4)
	CBZ   R1, done

loop:
	VLD1.P 32(R2), [V12.S4, V13.S4]
	FSUB4S(28, 12, 0); FSUB4S(28, 13, 1)
	FMUL4S(29, 0, 0); FMUL4S(29, 1, 1)
	EXP
	FCMGE4S(30, 12, 2); FCMGE4S(30, 13, 3)
	VAND   V2.B16, V0.B16, V0.B16
	VAND   V3.B16, V1.B16, V1.B16
	FMUL4S(31, 0, 0); FMUL4S(31, 1, 1)
	FRINTN4S(0, 0); FRINTN4S(1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	FCVTL2D(0, 2); FCVTL2_2D(0, 3)
	FADD2D(2, 10, 10); FADD2D(3, 11, 11)
	FCVTL2D(1, 4); FCVTL2_2D(1, 5)
	FADD2D(4, 10, 10); FADD2D(5, 11, 11)
	SUBS   $8, R1
	BNE    loop

done:
	FADD2D(11, 10, 10)
	FADDP2D(10, 10)
	FMOVD F10, ret+64(FP)
	RET
