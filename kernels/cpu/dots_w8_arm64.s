//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "dots_arm64.h"

// Products of int8 weights.
//
//	i16  = smull + smlal(w, x)          |2·128·127| < 2¹⁵
//	i32 += sadalp(i16)

#define WEIGHTS \
	PRFM   2048(R1), PLDL1KEEP \
	VLD1.P 64(R1), [V0.B16, V1.B16, V2.B16, V3.B16]

#define TOKEN(x, s) \
	VLD1.P 64(x), [V4.B16, V5.B16, V6.B16, V7.B16] \
	SMULL(4, 0, 20); SMULL(5, 1, 21) \
	SMULL(6, 2, 22); SMULL(7, 3, 23) \
	SMLAL2(4, 0, 20); SMLAL2(5, 1, 21) \
	SMLAL2(6, 2, 22); SMLAL2(7, 3, 23) \
	SADALP(20, s); SADALP(21, s) \
	SADALP(22, s); SADALP(23, s)

// func dotsW8x1NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x1NEON(SB), NOSPLIT, $0-120
	TILE1

// func dotsW8x2NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x2NEON(SB), NOSPLIT, $0-120
	TILE2

// func dotsW8x3NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x3NEON(SB), NOSPLIT, $0-120
	TILE3

// func dotsW8x4NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x4NEON(SB), NOSPLIT, $0-120
	TILE4
