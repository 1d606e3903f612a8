//go:build !purego

#include "textflag.h"
#include "neon.h"

// func nibblesNEON(dst, src []uint8, dim int)
//
// R1 walks through src, R0 and R5 through the halves of a vector in dst.
TEXT ·nibblesNEON(SB), NOSPLIT, $0-56
	MOVD  dst_base+0(FP), R0
	MOVD  src_base+24(FP), R1
	MOVD  src_len+32(FP), R2
	MOVD  dim+48(FP), R3
	LSR   $1, R3, R4
	VMOVI $15, V31.B16
	CBZ   R2, done

vector:
	ADD  R4, R0, R5
	MOVD R4, R6

half:
	VLD1.P 16(R1), [V0.B16]
	VUSHR  $4, V0.B16, V1.B16
	VAND   V31.B16, V0.B16, V0.B16
	VST1.P [V0.B16], 16(R0)
	VST1.P [V1.B16], 16(R5)
	SUBS   $16, R6
	BNE    half
	MOVD   R5, R0
	SUBS   R4, R2
	BNE    vector

done:
	RET

// WIDEN8 sets lo and hi to the bytes of the lower half of V as floats, less V30.
#define WIDEN8(v, lo, hi) \
	UXTL8H(v, v); \
	UXTL4S(v, lo); UXTL2_4S(v, hi); \
	SCVTF4S(lo, lo); SCVTF4S(hi, hi); \
	FSUB4S(30, lo, lo); FSUB4S(30, hi, hi)

// func unpack4NEON(dst []float32, src []uint8, dim int, off float32)
TEXT ·unpack4NEON(SB), NOSPLIT, $0-60
	MOVD  dst_base+0(FP), R0
	MOVD  src_base+24(FP), R1
	MOVD  src_len+32(FP), R2
	MOVD  dim+48(FP), R3
	LSR   $1, R3, R4
	FMOVS off+56(FP), F30
	VDUP  V30.S[0], V30.S4
	VMOVI $15, V31.B16
	CBZ   R2, done

vector:
	ADD  R4<<2, R0, R5
	MOVD R4, R6

half:
	FMOVD.P 8(R1), F0
	VUSHR   $4, V0.B16, V1.B16
	VAND    V31.B16, V0.B16, V0.B16
	WIDEN8(0, 2, 3)
	WIDEN8(1, 4, 5)
	VST1.P  [V2.S4, V3.S4], 32(R0)
	VST1.P  [V4.S4, V5.S4], 32(R5)
	SUBS    $8, R6
	BNE     half
	MOVD    R5, R0
	SUBS    R4, R2
	BNE     vector

done:
	RET

// func unpack8NEON(dst []float32, src []uint8)
TEXT ·unpack8NEON(SB), NOSPLIT, $0-48
	MOVD dst_base+0(FP), R0
	MOVD src_base+24(FP), R1
	MOVD src_len+32(FP), R2
	CBZ  R2, done

loop:
	FMOVD.P 8(R1), F0
	SXTL8H(0, 0)
	SXTL4S(0, 1); SXTL2_4S(0, 2)
	SCVTF4S(1, 1); SCVTF4S(2, 2)
	VST1.P  [V1.S4, V2.S4], 32(R0)
	SUBS    $8, R2
	BNE     loop

done:
	RET

// func unpack16NEON(dst []float32, src []uint16)
TEXT ·unpack16NEON(SB), NOSPLIT, $0-48
	MOVD dst_base+0(FP), R0
	MOVD src_base+24(FP), R1
	MOVD src_len+32(FP), R2
	CBZ  R2, done

loop:
	VLD1.P 16(R1), [V0.H8]
	FCVTL4S(0, 1)
	FCVTL2_4S(0, 2)
	VST1.P [V1.S4, V2.S4], 32(R0)
	SUBS   $8, R2
	BNE    loop

done:
	RET

// func affineNEON(x []float32, scale, zero float32)
TEXT ·affineNEON(SB), NOSPLIT, $0-32
	MOVD  x_base+0(FP), R0
	MOVD  x_len+8(FP), R1
	FMOVS scale+24(FP), F30
	VDUP  V30.S[0], V30.S4
	FMOVS zero+28(FP), F31
	VDUP  V31.S[0], V31.S4
	CBZ   R1, done

loop:
	VLD1   (R0), [V0.S4, V1.S4]
	FMUL4S(30, 0, 0); FMUL4S(30, 1, 1)
	FADD4S(31, 0, 0); FADD4S(31, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS   $8, R1
	BNE    loop

done:
	RET
