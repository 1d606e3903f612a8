//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "add_ints_arm64.h"

// A row by 16 elements, whose sums stay in registers for all values. A register of v
// is four elements of four values, so a multiplication's lanes are two elements.
// Four registers of sums belong to four elements: two are the upper plane's, two
// the lower's. R10 and R11 walk through the planes of p.

#define CHUNK \
	ZEROSUMS            \
	MOVD R1, R10        \
	ADD  $256, R1, R11  \
	MOVD R2, R14        \
	MOVD R3, R15

// STORE adds the sums of 16 elements to o, after SUM4 or SUM8 of each four.
#define STORE \
	VLD1   (R0), [V16.S4, V17.S4, V18.S4, V19.S4]   \
	VADD   V0.S4, V16.S4, V16.S4                    \
	VADD   V4.S4, V17.S4, V17.S4                    \
	VADD   V8.S4, V18.S4, V18.S4                    \
	VADD   V12.S4, V19.S4, V19.S4                   \
	VST1.P [V16.S4, V17.S4, V18.S4, V19.S4], 64(R0)

#define MULTIPLY4(v, u0, u1, l0, l1) \
	SMLAL(20, v, u0); SMLAL2(20, v, u1); \
	SMLAL(21, v, l0); SMLAL2(21, v, l1)

#define SUM4(U0, U1, u0, u1, l0, l1) \
	SADDLP(u0, u0); SADDLP(u1, u1) \
	VSHL  $7, U0.S4, U0.S4      \
	VSHL  $7, U1.S4, U1.S4      \
	SADALP(l0, u0); SADALP(l1, u1) \
	VADDP U1.S4, U0.S4, U0.S4

// func addInts4NEON(o []int32, p []uint8, v []int8, n, dim int)
//
//	i16 += smlal(v, p)     16 quads of a page: 16·15·127 = 30,480 < 2¹⁵
//	i32  = saddlp(upper) << 7 + sadalp(lower)
//
// 6 instructions a quad beside the 16 of products: 44 a value of 128 elements and row.
TEXT ·addInts4NEON(SB), NOSPLIT, $0-88
	ARGS

row:
	MOVD R4, R6

chunk:
	CHUNK

quad:
	VLD1    (R14), [V16.B16, V17.B16, V18.B16, V19.B16]
	ADD     R4, R14
	VLD1R.P 4(R10), [V20.S4]
	VLD1R.P 4(R11), [V21.S4]
	MULTIPLY4(16, 0, 1, 2, 3)
	MULTIPLY4(17, 4, 5, 6, 7)
	MULTIPLY4(18, 8, 9, 10, 11)
	MULTIPLY4(19, 12, 13, 14, 15)
	SUBS    $4, R15
	BNE     quad

	SUM4(V0, V1, 0, 1, 2, 3)
	SUM4(V4, V5, 4, 5, 6, 7)
	SUM4(V8, V9, 8, 9, 10, 11)
	SUM4(V12, V13, 12, 13, 14, 15)
	STORE
	ADD  $64, R2
	SUBS $64, R6
	BNE  chunk

	SUB  R4, R2
	ADD  $512, R1
	SUBS $1, R5
	BNE  row
	RET

#define MULTIPLY8(v, w, u0, u1, l0, l1) \
	SMULL(24, v, 28); SMULL2(24, v, 29); \
	SMULL(25, v, 30); SMULL2(25, v, 31); \
	SMLAL(26, w, 28); SMLAL2(26, w, 29); \
	SMLAL(27, w, 30); SMLAL2(27, w, 31); \
	SADALP(28, u0); SADALP(29, u1); \
	SADALP(30, l0); SADALP(31, l1)

#define SUM8(U0, U1, L0, L1) \
	VADDP U1.S4, U0.S4, U0.S4 \
	VADDP L1.S4, L0.S4, L0.S4 \
	VSHL  $7, U0.S4, U0.S4    \
	VADD  L0.S4, U0.S4, U0.S4

// func addInts8NEON(o []int32, p []uint8, v []int8, n, dim int)
//
//	i16  = smull(v, p) + smlal(w, q)     two quads: 2·127·127 = 32,258 < 2¹⁵
//	i32 += sadalp(i16)
//
// A last quad alone has the weights 0 beside it. 14 instructions a pair of quads
// beside the 48 of products: 62 a value of 128 elements and row.
TEXT ·addInts8NEON(SB), NOSPLIT, $0-88
	ARGS

row:
	MOVD R4, R6

chunk:
	CHUNK

pair:
	VLD1    (R14), [V16.B16, V17.B16, V18.B16, V19.B16]
	ADD     R4, R14
	VLD1R.P 4(R10), [V24.S4]
	VLD1R.P 4(R11), [V25.S4]
	VEOR    V26.B16, V26.B16, V26.B16
	VEOR    V27.B16, V27.B16, V27.B16
	SUBS    $4, R15
	BEQ     multiply
	VLD1    (R14), [V20.B16, V21.B16, V22.B16, V23.B16]
	ADD     R4, R14
	VLD1R.P 4(R10), [V26.S4]
	VLD1R.P 4(R11), [V27.S4]
	SUB     $4, R15

multiply:
	MULTIPLY8(16, 20, 0, 1, 2, 3)
	MULTIPLY8(17, 21, 4, 5, 6, 7)
	MULTIPLY8(18, 22, 8, 9, 10, 11)
	MULTIPLY8(19, 23, 12, 13, 14, 15)
	CBNZ    R15, pair

	SUM8(V0, V1, V2, V3)
	SUM8(V4, V5, V6, V7)
	SUM8(V8, V9, V10, V11)
	SUM8(V12, V13, V14, V15)
	STORE
	ADD  $64, R2
	SUBS $64, R6
	BNE  chunk

	SUB  R4, R2
	ADD  $512, R1
	SUBS $1, R5
	BNE  row
	RET
