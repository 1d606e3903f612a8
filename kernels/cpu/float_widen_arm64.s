//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "float_neon.h"

#define STORE(a, b) \
	VST1 [a.S4, b.S4], (R0); \
	ADD R1, R0

#define STORES \
	STORE(V4, V5); STORE(V6, V7); STORE(V8, V9); STORE(V10, V11)

// WIDEN is the body: R0 is dst, R1 its stride in bytes, R2 src, R3 the inputs left.
#define WIDEN(LO, HI) \
	MOVD dst_base+0(FP), R0; \
	MOVD stride+24(FP), R1; \
	LSL $2, R1; \
	MOVD src_base+32(FP), R2; \
	MOVD n+56(FP), R3; \
group: \
	LO(R2); STORES; \
	HI(R2); STORES; \
	SUBS $64, R3; \
	BNE group; \
	RET

// func widenFloat32NEON(dst []float32, stride int, src []byte, n int)
TEXT ·widenFloat32NEON(SB), NOSPLIT, $0-64
	WIDEN(LOAD_FLOAT32_LO, LOAD_FLOAT32_HI)

// func widenFloat16NEON(dst []float32, stride int, src []byte, n int)
TEXT ·widenFloat16NEON(SB), NOSPLIT, $0-64
	WIDEN(LOAD_FLOAT16_LO, LOAD_FLOAT16_HI)

// func widenBFloat16NEON(dst []float32, stride int, src []byte, n int)
TEXT ·widenBFloat16NEON(SB), NOSPLIT, $0-64
	WIDEN(LOAD_BFLOAT16_LO, LOAD_BFLOAT16_HI)

// func widenInt8NEON(dst []float32, stride int, src []byte, n int)
TEXT ·widenInt8NEON(SB), NOSPLIT, $0-64
	WIDEN(LOAD_INT8_LO, LOAD_INT8_HI)

// func widenInt4NEON(dst []float32, stride int, src []byte, n int)
TEXT ·widenInt4NEON(SB), NOSPLIT, $0-64
	INT4_CONSTANTS
	WIDEN(LOAD_INT4_LO, LOAD_INT4_HI)
