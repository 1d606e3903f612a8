//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "dots_dot_arm64.h"

// Products of packed int4 weights, q+8 in nibbles.
//
//	u8 lo = w & 15, hi = w >> 4         32 bytes hold 64 weights; as s8 the same
//	i32  += sdot(s8, x)                 four products each; wraps, so exact

#define WEIGHTS \
	PRFM   2048(R1), PLDL1KEEP        \
	VLD1.P 32(R1), [V0.B16, V1.B16] \
	VUSHR  $4, V0.B16, V2.B16       \
	VUSHR  $4, V1.B16, V3.B16       \
	VAND   V31.B16, V0.B16, V0.B16  \
	VAND   V31.B16, V1.B16, V1.B16

#define ROWBYTES LSR $1, R3, R2

#define UNPACK(w, hi, lo) \
	VLD1.P 16(w), [hi.B16]        \
	VAND   V12.B16, hi.B16, lo.B16 \
	VUSHR  $4, hi.B16, hi.B16

// 16 bytes of each row: inputs at.. and at+32.. of a block.
#define WEIGHTS4HALF(lo, hi) \
	UNPACK(R1, V0, V4)  \
	UNPACK(R20, V1, V5) \
	UNPACK(R21, V2, V6) \
	UNPACK(R22, V3, V7) \
	DOTS16(lo, 4, 5, 6, 7) \
	DOTS16(hi, 0, 1, 2, 3)

#define WEIGHTS4 \
	WEIGHTS4HALF(0, 32) \
	WEIGHTS4HALF(16, 48)

// func dotsW4x1DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x1DOT(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE1

// func dotsW4x2DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x2DOT(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE(UPTO2)

// func dotsW4x3DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x3DOT(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE(UPTO3)

// func dotsW4x4DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x4DOT(SB), NOSPLIT, $0-120
	VMOVI $15, V12.B16
	BLOCK
