//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "add_ints_arm64.h"

// ROW loads four weights of a row, both planes, and multiplies four values of
// eight elements, V16 and V17, by them.
#define ROW(p, U, L, u, l, u0, u1, l0, l1) \
	FMOVS   256(p), L \
	FMOVS.P 4(p), U   \
	SDOT0(u, 16, u0); SDOT0(u, 17, u1) \
	SDOT0(l, 16, l0); SDOT0(l, 17, l1)

// STORE adds a row's sums of eight elements to o.
#define STORE(o, U0, U1, L0, L1) \
	VLD1   (o), [V16.S4, V17.S4]  \
	VSHL   $7, U0.S4, U0.S4       \
	VSHL   $7, U1.S4, U1.S4       \
	VADD   L0.S4, U0.S4, U0.S4    \
	VADD   L1.S4, U1.S4, U1.S4    \
	VADD   U0.S4, V16.S4, V16.S4  \
	VADD   U1.S4, V17.S4, V17.S4  \
	VST1.P [V16.S4, V17.S4], 32(o)

// func addIntsDOT(o []int32, p []uint8, v []int8, n, dim int)
//
// Four rows by 8 elements, then what rows are left one by one, 32 elements: sums
// stay in registers for all values. A register of v is four elements of four
// values, which an SDOT multiplies by the same four bytes of p:
//
//	i32 += sdot(v, p)     wraps, so exact
//
// Beside the 16 products of a quad, 12 instructions in four rows, 8 in one: 28
// or 24 a value of 128 elements and row, where floats take 32 FMAs alone.
TEXT ·addIntsDOT(SB), NOSPLIT, $0-88
	ARGS

rows4:
	CMP  $4, R5
	BLT  rows1
	MOVD R4, R6

chunk4:
	ADD  R4, R0, R7
	ADD  R4, R7, R8
	ADD  R4, R8, R9
	ZEROSUMS
	MOVD R1, R10
	ADD  $512, R10, R11
	ADD  $512, R11, R12
	ADD  $512, R12, R13
	MOVD R2, R14
	MOVD R3, R15

quad4:
	VLD1 (R14), [V16.B16, V17.B16]
	ADD  R4, R14
	ROW(R10, F18, F19, 18, 19, 0, 1, 2, 3)
	ROW(R11, F20, F21, 20, 21, 4, 5, 6, 7)
	ROW(R12, F22, F23, 22, 23, 8, 9, 10, 11)
	ROW(R13, F24, F25, 24, 25, 12, 13, 14, 15)
	SUBS $4, R15
	BNE  quad4

	STORE(R0, V0, V1, V2, V3)
	STORE(R7, V4, V5, V6, V7)
	STORE(R8, V8, V9, V10, V11)
	STORE(R9, V12, V13, V14, V15)
	ADD  $32, R2
	SUBS $32, R6
	BNE  chunk4

	SUB R4, R2
	ADD R4, R0
	ADD R4<<1, R0
	ADD $2048, R1
	SUB $4, R5
	B   rows4

rows1:
	CBZ  R5, done
	MOVD R4, R6

chunk1:
	ZEROSUMS
	MOVD R1, R10
	MOVD R2, R14
	MOVD R3, R15

quad1:
	ADD     $64, R14, R9
	VLD1    (R14), [V16.B16, V17.B16, V18.B16, V19.B16]
	VLD1    (R9), [V20.B16, V21.B16, V22.B16, V23.B16]
	ADD     R4, R14
	FMOVS   256(R10), F25
	FMOVS.P 4(R10), F24
	SDOT0(24, 16, 0); SDOT0(24, 17, 1); SDOT0(24, 18, 2); SDOT0(24, 19, 3)
	SDOT0(24, 20, 4); SDOT0(24, 21, 5); SDOT0(24, 22, 6); SDOT0(24, 23, 7)
	SDOT0(25, 16, 8); SDOT0(25, 17, 9); SDOT0(25, 18, 10); SDOT0(25, 19, 11)
	SDOT0(25, 20, 12); SDOT0(25, 21, 13); SDOT0(25, 22, 14); SDOT0(25, 23, 15)
	SUBS    $4, R15
	BNE     quad1

	STORE(R0, V0, V1, V8, V9)
	STORE(R0, V2, V3, V10, V11)
	STORE(R0, V4, V5, V12, V13)
	STORE(R0, V6, V7, V14, V15)
	ADD  $128, R2
	SUBS $128, R6
	BNE  chunk1

	SUB R4, R2
	ADD $512, R1
	SUB $1, R5
	B   rows1

done:
	RET
