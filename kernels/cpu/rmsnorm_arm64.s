//go:build !purego

#include "textflag.h"
#include "neon.h"

// func normalizeNEON(y, x, w []float32, r float32)
TEXT ·normalizeNEON(SB), NOSPLIT, $0-76
	MOVD  y_base+0(FP), R0
	MOVD  x_base+24(FP), R1
	MOVD  x_len+32(FP), R3
	MOVD  w_base+48(FP), R2
	FMOVS r+72(FP), F31
	VDUP  V31.S[0], V31.S4
	CBZ   R3, done

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	VLD1.P 32(R2), [V2.S4, V3.S4]
	FMUL4S(31, 0, 0); FMUL4S(31, 1, 1)
	FMUL4S(2, 0, 0); FMUL4S(3, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS   $8, R3
	BNE    loop

done:
	RET
