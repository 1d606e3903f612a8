//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "scores_int_arm64.h"

#define KEY(key, sum) \
	VLD1.P 32(key), [V6.B16, V7.B16] \
	SDOT(6, 4, sum); SDOT(7, 5, sum)

// func scoresDOT(s []float32, k []uint8, q []int8, a [][3]float32, kscale, kzero []float32, dim int)
//
// Keys are int8s, which bytes 0..15 are too. i32 += sdot; wraps, so exact. 15
// instructions for 32 elements of four keys.
TEXT ·scoresDOT(SB), NOSPLIT, $0-152
	SCORES
