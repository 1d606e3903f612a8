//go:build !purego

#include "textflag.h"
#include "neon.h"
#include "exp_arm64.h"

// func swigluNEON(y, gate, up []float32)
//
// gate/(1 + exp(-gate)) · up
TEXT ·swigluNEON(SB), NOSPLIT, $0-72
	MOVD y_base+0(FP), R0
	MOVD y_len+8(FP), R3
	MOVD gate_base+24(FP), R1
	MOVD up_base+48(FP), R2
	EXP_CONSTANTS(R4)
	CBZ  R3, done

loop:
	VLD1.P 32(R1), [V10.S4, V11.S4]
	VLD1.P 32(R2), [V12.S4, V13.S4]
	FNEG4S(10, 0); FNEG4S(11, 1)
	EXP
	FADD4S(27, 0, 0); FADD4S(27, 1, 1)
	FDIV4S(0, 10, 10); FDIV4S(1, 11, 11)
	FMUL4S(12, 10, 10); FMUL4S(13, 11, 11)
	VST1.P [V10.S4, V11.S4], 32(R0)
	SUBS   $8, R3
	BNE    loop

done:
	RET
