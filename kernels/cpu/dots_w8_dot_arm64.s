//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "dots_dot_arm64.h"

// Products of int8 weights.
//
//	i32 += sdot(w, x)                   four products each; wraps, so exact

#define WEIGHTS \
	PRFM   2048(R1), PLDL1KEEP \
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]

#define ROWBYTES MOVD R3, R2

#define WEIGHTS4QUARTER(at) \
	VLD1.P 16(R1), [V0.B16]  \
	VLD1.P 16(R20), [V1.B16] \
	VLD1.P 16(R21), [V2.B16] \
	VLD1.P 16(R22), [V3.B16] \
	DOTS16(at, 0, 1, 2, 3)

#define WEIGHTS4 \
	WEIGHTS4QUARTER(0)  \
	WEIGHTS4QUARTER(16) \
	WEIGHTS4QUARTER(32) \
	WEIGHTS4QUARTER(48)

// func dotsW8x1DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x1DOT(SB), NOSPLIT, $0-120
	TILE1

// func dotsW8x2DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x2DOT(SB), NOSPLIT, $0-120
	TILE(UPTO2)

// func dotsW8x3DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x3DOT(SB), NOSPLIT, $0-120
	TILE(UPTO3)

// func dotsW8x4DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x4DOT(SB), NOSPLIT, $0-120
	BLOCK
