//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "float_neon.h"

// fp.Dot: the eight lanes of a block are two registers, lo and hi. Four blocks are
// in flight, in V16..V23, and join the total V24, V25 in order.

// PRODUCTS adds V4..V11 times the 32 floats at x to the lanes.
#define PRODUCTS(x, lo, hi) \
	VLD1.P 64(x), [V12.S4, V13.S4, V14.S4, V15.S4]; \
	VFMLA V12.S4, V4.S4, lo.S4; VFMLA V13.S4, V5.S4, hi.S4; \
	VFMLA V14.S4, V6.S4, lo.S4; VFMLA V15.S4, V7.S4, hi.S4; \
	VLD1.P 64(x), [V12.S4, V13.S4, V14.S4, V15.S4]; \
	VFMLA V12.S4, V8.S4, lo.S4; VFMLA V13.S4, V9.S4, hi.S4; \
	VFMLA V14.S4, V10.S4, lo.S4; VFMLA V15.S4, V11.S4, hi.S4

#define GROUP(LO, HI, w, x, lo, hi) \
	LO(w); PRODUCTS(x, lo, hi); \
	HI(w); PRODUCTS(x, lo, hi)

#define ZERO(v) VEOR v.B16, v.B16, v.B16

// DOT is the body. blockBytes is what 256 weights take. R0, R1, R2, R3 are the
// weights of the four blocks, R4..R7 their x, R8 the inputs left.
#define DOT(LO, HI, blockBytes) \
	MOVD w_base+0(FP), R0; \
	MOVD x_base+24(FP), R4; \
	MOVD x_len+32(FP), R8; \
	ZERO(V24); ZERO(V25); \
chains: \
	CMP $1024, R8; \
	BLT block; \
	SUB $1024, R8; \
	ADD $blockBytes, R0, R1; ADD $blockBytes, R1, R2; ADD $blockBytes, R2, R3; \
	ADD $1024, R4, R5; ADD $1024, R5, R6; ADD $1024, R6, R7; \
	ZERO(V16); ZERO(V17); ZERO(V18); ZERO(V19); \
	ZERO(V20); ZERO(V21); ZERO(V22); ZERO(V23); \
	MOVD $4, R9; \
groups: \
	GROUP(LO, HI, R0, R4, V16, V17); \
	GROUP(LO, HI, R1, R5, V18, V19); \
	GROUP(LO, HI, R2, R6, V20, V21); \
	GROUP(LO, HI, R3, R7, V22, V23); \
	SUBS $1, R9; \
	BNE groups; \
	FADD4S(16, 24, 24); FADD4S(17, 25, 25); \
	FADD4S(18, 24, 24); FADD4S(19, 25, 25); \
	FADD4S(20, 24, 24); FADD4S(21, 25, 25); \
	FADD4S(22, 24, 24); FADD4S(23, 25, 25); \
	MOVD R3, R0; \
	MOVD R7, R4; \
	B chains; \
block: \
	CBZ R8, done; \
	MOVD $256, R9; \
	CMP R9, R8; \
	CSEL LT, R8, R9, R9; \
	SUB R9, R8; \
	ZERO(V16); ZERO(V17); \
group: \
	GROUP(LO, HI, R0, R4, V16, V17); \
	SUBS $64, R9; \
	BNE group; \
	FADD4S(16, 24, 24); FADD4S(17, 25, 25); \
	B block; \
done: \
	FADD4S(25, 24, 24); /* fp.Sum8 */ \
	VEXT $8, V24.B16, V24.B16, V25.B16; \
	FADD4S(25, 24, 24); \
	FADDP2S(24, 24); \
	FMOVS F24, ret+48(FP); \
	RET

// func dotFloat32NEON(w []byte, x []float32) float32
TEXT ·dotFloat32NEON(SB), NOSPLIT, $0-52
	DOT(LOAD_FLOAT32_LO, LOAD_FLOAT32_HI, 1024)

// func dotFloat16NEON(w []byte, x []float32) float32
TEXT ·dotFloat16NEON(SB), NOSPLIT, $0-52
	DOT(LOAD_FLOAT16_LO, LOAD_FLOAT16_HI, 512)

// func dotBFloat16NEON(w []byte, x []float32) float32
TEXT ·dotBFloat16NEON(SB), NOSPLIT, $0-52
	DOT(LOAD_BFLOAT16_LO, LOAD_BFLOAT16_HI, 512)

// func dotInt8NEON(w []byte, x []float32) float32
TEXT ·dotInt8NEON(SB), NOSPLIT, $0-52
	DOT(LOAD_INT8_LO, LOAD_INT8_HI, 256)

// func dotInt4NEON(w []byte, x []float32) float32
TEXT ·dotInt4NEON(SB), NOSPLIT, $0-52
	INT4_CONSTANTS
	DOT(LOAD_INT4_LO, LOAD_INT4_HI, 128)
