//go:build !purego

#include "textflag.h"
#include "neon.h"

// ZIP4 loads 16 bytes of each of four vectors and sets V0..V3 to them side by side:
// a0 b0 c0 d0 a1 b1 ...
#define ZIP4 \
	VLD1.P 16(R1), [V4.B16]        \
	VLD1.P 16(R5), [V5.B16]        \
	VLD1.P 16(R6), [V6.B16]        \
	VLD1.P 16(R7), [V7.B16]        \
	VZIP1  V6.B16, V4.B16, V8.B16  \
	VZIP2  V6.B16, V4.B16, V9.B16  \
	VZIP1  V7.B16, V5.B16, V10.B16 \
	VZIP2  V7.B16, V5.B16, V11.B16 \
	VZIP1  V10.B16, V8.B16, V0.B16 \
	VZIP2  V10.B16, V8.B16, V1.B16 \
	VZIP1  V11.B16, V9.B16, V2.B16 \
	VZIP2  V11.B16, V9.B16, V3.B16

// POINT4 sets R5..R7 to the three vectors after R1, R4 bytes apart.
#define POINT4 \
	ADD  R4, R1, R5 \
	ADD  R4, R5, R6 \
	ADD  R4, R6, R7 \
	MOVD R4, R8

// func quads4NEON(v []int8, src []uint8, dim int, off int8)
//
// Bytes are zipped while packed, which halves the zips: 32 instructions turn 64
// bytes into 128. R0 and R9 walk through the halves of a quad, R1 and R5..R7
// through four vectors.
TEXT ·quads4NEON(SB), NOSPLIT, $0-57
	MOVD  v_base+0(FP), R0
	MOVD  v_len+8(FP), R2
	MOVD  src_base+24(FP), R1
	MOVD  dim+48(FP), R3
	MOVB  off+56(FP), R4
	VDUP  R4, V30.B16
	VMOVI $15, V31.B16
	LSR   $1, R3, R4

quad:
	ADD R3<<1, R0, R9
	POINT4

half:
	ZIP4
	VUSHR  $4, V0.B16, V16.B16
	VUSHR  $4, V1.B16, V17.B16
	VUSHR  $4, V2.B16, V18.B16
	VUSHR  $4, V3.B16, V19.B16
	VAND   V31.B16, V0.B16, V0.B16
	VAND   V31.B16, V1.B16, V1.B16
	VAND   V31.B16, V2.B16, V2.B16
	VAND   V31.B16, V3.B16, V3.B16
	VSUB   V30.B16, V16.B16, V16.B16
	VSUB   V30.B16, V17.B16, V17.B16
	VSUB   V30.B16, V18.B16, V18.B16
	VSUB   V30.B16, V19.B16, V19.B16
	VSUB   V30.B16, V0.B16, V0.B16
	VSUB   V30.B16, V1.B16, V1.B16
	VSUB   V30.B16, V2.B16, V2.B16
	VSUB   V30.B16, V3.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	VST1.P [V16.B16, V17.B16, V18.B16, V19.B16], 64(R9)
	SUBS   $16, R8
	BNE    half

	MOVD R9, R0
	MOVD R7, R1
	SUBS R3<<2, R2
	BNE  quad
	RET

// func quads8NEON(v []int8, src []uint8, dim int)
TEXT ·quads8NEON(SB), NOSPLIT, $0-56
	MOVD v_base+0(FP), R0
	MOVD v_len+8(FP), R2
	MOVD src_base+24(FP), R1
	MOVD dim+48(FP), R4

quad:
	POINT4

dims:
	ZIP4
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	SUBS   $16, R8
	BNE    dims

	MOVD R7, R1
	SUBS R4<<2, R2
	BNE  quad
	RET
