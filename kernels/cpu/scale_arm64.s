//go:build !purego

#include "textflag.h"
#include "neon.h"

// Sums to outputs, four at a time: each step is one rounding, as in the generic
// code, so the add is no FMA.
//
// R0 out, R1 bytes between its rows, R2 sum and R3 likewise, R4 wScale, R5 rows, R6
// xScale, R7 tokens left, R8 xSum, R9 offset. Of a token: R11 out, R12 sum, R13 wScale,
// R14 rows left; V0 its scale, V1 its bias.

#define ARGS \
	MOVD out_base+0(FP), R0     \
	MOVD outStride+24(FP), R1   \
	MOVD sum_base+32(FP), R2    \
	MOVD sumStride+56(FP), R3   \
	MOVD wScale_base+64(FP), R4 \
	MOVD wScale_len+72(FP), R5  \
	MOVD xScale_base+88(FP), R6 \
	MOVD xScale_len+96(FP), R7  \
	MOVD xSum_base+112(FP), R8  \
	MOVW offset+136(FP), R9     \
	LSL  $2, R1                 \
	LSL  $2, R3

#define TOKEN \
	VLD1R.P 4(R6), [V0.S4] \
	MOVW.P  4(R8), R10     \
	MULW    R9, R10        \
	VDUP    R10, V1.S4     \
	MOVD    R0, R11        \
	MOVD    R2, R12        \
	MOVD    R4, R13        \
	MOVD    R5, R14

#define SCALE \
	VLD1.P 16(R12), [V2.S4]    \
	VLD1.P 16(R13), [V3.S4]    \
	VSUB   V1.S4, V2.S4, V2.S4 \
	SCVTF4S(2, 2)              \
	FMUL4S(0, 3, 3)            \
	FMUL4S(3, 2, 2)

#define NEXT \
	VST1.P [V2.S4], 16(R11) \
	SUBS   $4, R14          \
	BNE    row              \
	ADD    R1, R0           \
	ADD    R3, R2           \
	SUBS   $1, R7           \
	BNE    token            \
done: \
	RET

// func scaleSumsNEON(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)
TEXT ·scaleSumsNEON(SB), NOSPLIT, $0-140
	ARGS
	CBZ R5, done

token:
	TOKEN

row:
	SCALE
	NEXT

// func addSumsNEON(out []float32, outStride int, sum []int32, sumStride int, wScale, xScale []float32, xSum []int32, offset int32)
TEXT ·addSumsNEON(SB), NOSPLIT, $0-140
	ARGS
	CBZ R5, done

token:
	TOKEN

row:
	SCALE
	VLD1 (R11), [V4.S4]
	FADD4S(4, 2, 2)
	NEXT
