//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "scores_int_arm64.h"

#define KEY(key, sum) \
	VLD1.P 32(key), [V6.B16, V7.B16] \
	SMULL(6, 4, 8); SMLAL2(6, 4, 8)  \
	SMULL(7, 5, 9); SMLAL2(7, 5, 9)  \
	SADALP(8, sum); SADALP(9, sum)

// func scores4NEON(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)
//
// Bytes 0..15 are int8s.
TEXT ·scores4NEON(SB), NOSPLIT, $0-152
	B ·scores8NEON(SB)

// func scores8NEON(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)
//
// i16 = smull + smlal   |2·128·127| < 2¹⁵; i32 += sadalp(i16). 31 instructions for
// 32 elements of four keys.
TEXT ·scores8NEON(SB), NOSPLIT, $0-152
	SCORES
