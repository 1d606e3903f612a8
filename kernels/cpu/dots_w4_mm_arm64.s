//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "dots_mm_arm64.h"

// Products of packed int4 weights, q+8 in nibbles.
//
//	u8 lo = w & 15, hi = w >> 4         after zipping; as s8 the same
//	i32  += smmla(s8, x)                eight products each; wraps, so exact

#define SHIFT 5

// 16 bytes of each row: the 16 inputs packed at lo, and those at hi.
#define WEIGHTS4HALF(lo, hi) \
	ROWS \
	VAND  V31.B16, V4.B16, V0.B16 \
	VAND  V31.B16, V5.B16, V1.B16 \
	VAND  V31.B16, V6.B16, V2.B16 \
	VAND  V31.B16, V7.B16, V3.B16 \
	VUSHR $4, V4.B16, V4.B16      \
	VUSHR $4, V5.B16, V5.B16      \
	VUSHR $4, V6.B16, V6.B16      \
	VUSHR $4, V7.B16, V7.B16      \
	PRODUCTS(lo, 0, 1, 2, 3)      \
	PRODUCTS(hi, 4, 5, 6, 7)

#define WEIGHTS4 \
	WEIGHTS4HALF(0, 128) \
	WEIGHTS4HALF(64, 192)

// func dotsW4x4MM(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x4MM(SB), 0, $8192-120
	VMOVI $15, V31.B16
	BLOCK
