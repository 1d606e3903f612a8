//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "dots_mm_arm64.h"

// Products of int8 weights.
//
//	i32 += smmla(w, x)                  eight products each; wraps, so exact

#define SHIFT 6

#define WEIGHTS4QUARTER(at) \
	ROWS \
	PRODUCTS(at, 4, 5, 6, 7)

#define WEIGHTS4 \
	WEIGHTS4QUARTER(0)   \
	WEIGHTS4QUARTER(64)  \
	WEIGHTS4QUARTER(128) \
	WEIGHTS4QUARTER(192)

// func dotsW8x4MM(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
TEXT ·dotsW8x4MM(SB), 0, $8192-120
	BLOCK
