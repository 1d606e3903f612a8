//go:build !purego

#include "textflag.h"
#include "neon.h"

// Four rows by two or three tokens. An output's eight lanes are two registers:
// row r of token t has V(8t+2r) and the next. The panel's row is in V24, V25, the
// tokens' eight inputs in V26..V31.

// ROW2 and ROW3 multiply the panel's next row with two or three tokens.
#define ROW2(a, b, c, d) \
	VLD1.P 32(R1), [V24.S4, V25.S4]; \
	VFMLA V26.S4, V24.S4, a.S4; VFMLA V27.S4, V25.S4, b.S4; \
	VFMLA V28.S4, V24.S4, c.S4; VFMLA V29.S4, V25.S4, d.S4
#define ROW3(a, b, c, d, e, f) \
	ROW2(a, b, c, d); \
	VFMLA V30.S4, V24.S4, e.S4; VFMLA V31.S4, V25.S4, f.S4

#define ZERO2(a, b) VEOR a.B16, a.B16, a.B16; VEOR b.B16, b.B16, b.B16
#define ZERO8(a, b, c, d, e, f, g, h) ZERO2(a, b); ZERO2(c, d); ZERO2(e, f); ZERO2(g, h)

// FLUSH adds lanes a, a+1 to the total.
#define FLUSH(a, va, vb) \
	VLD1 (R0), [V24.S4, V25.S4]; \
	FADD4S(24, a, a); FADD4S(25, a+1, a+1); \
	VST1.P [va.S4, vb.S4], 32(R0)

#define FLUSH_TOKEN0 FLUSH(0, V0, V1); FLUSH(2, V2, V3); FLUSH(4, V4, V5); FLUSH(6, V6, V7)
#define FLUSH_TOKEN1 FLUSH(8, V8, V9); FLUSH(10, V10, V11); FLUSH(12, V12, V13); FLUSH(14, V14, V15)
#define FLUSH_TOKEN2 FLUSH(16, V16, V17); FLUSH(18, V18, V19); FLUSH(20, V20, V21); FLUSH(22, V22, V23)

// ARGUMENTS: R1 is the panel, R2..R4 the tokens, R5 the inputs left, R7 total.
#define ARGUMENTS \
	MOVD total+0(FP), R7; \
	MOVD panel+8(FP), R1; \
	MOVD x+16(FP), R2; \
	MOVD stride+24(FP), R6; \
	ADD R6<<2, R2, R3; \
	ADD R6<<2, R3, R4; \
	MOVD n+32(FP), R5

// BLOCK sets R6 to the inputs of the next block.
#define BLOCK \
	MOVD $256, R6; \
	CMP R6, R5; \
	CSEL LT, R5, R6, R6; \
	SUB R6, R5; \
	MOVD R7, R0

// func floatTile2NEON(total, panel, x *float32, stride, n int)
TEXT ·floatTile2NEON(SB), NOSPLIT, $0-40
	ARGUMENTS
block:
	BLOCK
	ZERO8(V0, V1, V2, V3, V4, V5, V6, V7)
	ZERO8(V8, V9, V10, V11, V12, V13, V14, V15)
lanes:
	VLD1.P 32(R2), [V26.S4, V27.S4]
	VLD1.P 32(R3), [V28.S4, V29.S4]
	ROW2(V0, V1, V8, V9)
	ROW2(V2, V3, V10, V11)
	ROW2(V4, V5, V12, V13)
	ROW2(V6, V7, V14, V15)
	SUBS $8, R6
	BNE lanes
	FLUSH_TOKEN0
	FLUSH_TOKEN1
	CBNZ R5, block
	RET

// func floatTile3NEON(total, panel, x *float32, stride, n int)
TEXT ·floatTile3NEON(SB), NOSPLIT, $0-40
	ARGUMENTS
block:
	BLOCK
	ZERO8(V0, V1, V2, V3, V4, V5, V6, V7)
	ZERO8(V8, V9, V10, V11, V12, V13, V14, V15)
	ZERO8(V16, V17, V18, V19, V20, V21, V22, V23)
lanes:
	VLD1.P 32(R2), [V26.S4, V27.S4]
	VLD1.P 32(R3), [V28.S4, V29.S4]
	VLD1.P 32(R4), [V30.S4, V31.S4]
	ROW3(V0, V1, V8, V9, V16, V17)
	ROW3(V2, V3, V10, V11, V18, V19)
	ROW3(V4, V5, V12, V13, V20, V21)
	ROW3(V6, V7, V14, V15, V22, V23)
	SUBS $8, R6
	BNE lanes
	FLUSH_TOKEN0
	FLUSH_TOKEN1
	FLUSH_TOKEN2
	CBNZ R5, block
	RET
