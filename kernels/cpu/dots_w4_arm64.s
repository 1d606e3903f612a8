//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "dots_arm64.h"

// Products of packed int4 weights, q+8 in nibbles.
//
//	u8 lo = w & 15, hi = w >> 4         32 bytes hold 64 weights
//	i16   = smull + 3 smlal(u8, x)      |4·15·128| < 2¹⁵
//	i32  += sadalp(i16)

#define WEIGHTS \
	PRFM   2048(R1), PLDL1KEEP        \
	VLD1.P 32(R1), [V0.B16, V1.B16] \
	VUSHR  $4, V0.B16, V2.B16       \
	VUSHR  $4, V1.B16, V3.B16       \
	VAND   V31.B16, V0.B16, V0.B16  \
	VAND   V31.B16, V1.B16, V1.B16

#define TOKEN(x, s) \
	VLD1.P 64(x), [V4.B16, V5.B16, V6.B16, V7.B16] \
	SMULL(4, 0, 20); SMULL2(4, 0, 21) \
	SMLAL(5, 1, 20); SMLAL2(5, 1, 21) \
	SMLAL(6, 2, 20); SMLAL2(6, 2, 21) \
	SMLAL(7, 3, 20); SMLAL2(7, 3, 21) \
	SADALP(20, s); SADALP(21, s)

// func dotsW4x1NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x1NEON(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE1

// func dotsW4x2NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x2NEON(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE2

// func dotsW4x3NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x3NEON(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE3

// func dotsW4x4NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW4x4NEON(SB), NOSPLIT, $0-120
	VMOVI $15, V31.B16
	TILE4
