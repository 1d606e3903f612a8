//go:build !purego

#include "textflag.h"

// func prefetchNEON(b []byte)
TEXT ·prefetchNEON(SB), NOSPLIT, $0-24
	MOVD b_base+0(FP), R0
	MOVD b_len+8(FP), R1
	B test
lines:
	PRFM (R0), PLDL2KEEP
	ADD $64, R0
	SUB $64, R1
test:
	CMP $0, R1
	BGT lines
	RET
