//go:build !purego

#include "textflag.h"
#include "neon.h"

// func readNEON(b []byte)
TEXT ·readNEON(SB), NOSPLIT, $0-24
	MOVD b_base+0(FP), R0
	MOVD b_len+8(FP), R1
	LSR  $7, R1
	CBZ  R1, done

loop:
	PRFM   2048(R0), PLDL1KEEP
	PRFM   2112(R0), PLDL1KEEP
	VLD1.P 64(R0), [V0.B16, V1.B16, V2.B16, V3.B16]
	VLD1.P 64(R0), [V4.B16, V5.B16, V6.B16, V7.B16]
	SUBS   $1, R1
	BNE    loop

done:
	RET

#define CHAIN(part, sum) \
	SMULL(0, 0, part); SMLAL(0, 0, part) \
	SMLAL(0, 0, part); SMLAL(0, 0, part) \
	SADALP(part, sum)

// func peakInt8NEON(n int)
//
// 8 chains x 4 products x 8: the int4 tile's mix without its loads.
TEXT ·peakInt8NEON(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
	VEOR V0.B16, V0.B16, V0.B16

loop:
	CHAIN(8, 16)
	CHAIN(9, 17)
	CHAIN(10, 18)
	CHAIN(11, 19)
	CHAIN(12, 20)
	CHAIN(13, 21)
	CHAIN(14, 22)
	CHAIN(15, 23)
	SUBS $1, R0
	BNE  loop
	RET

// func peakInt8DOT(n int)
//
// 16 chains x 16.
TEXT ·peakInt8DOT(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
	VEOR V0.B16, V0.B16, V0.B16

loop:
	SDOT(0, 0, 8); SDOT(0, 0, 9); SDOT(0, 0, 10); SDOT(0, 0, 11)
	SDOT(0, 0, 12); SDOT(0, 0, 13); SDOT(0, 0, 14); SDOT(0, 0, 15)
	SDOT(0, 0, 16); SDOT(0, 0, 17); SDOT(0, 0, 18); SDOT(0, 0, 19)
	SDOT(0, 0, 20); SDOT(0, 0, 21); SDOT(0, 0, 22); SDOT(0, 0, 23)
	SUBS $1, R0
	BNE  loop
	RET

// func peakInt8MM(n int)
//
// 16 chains x 32.
TEXT ·peakInt8MM(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
	VEOR V0.B16, V0.B16, V0.B16

loop:
	SMMLA(0, 0, 8); SMMLA(0, 0, 9); SMMLA(0, 0, 10); SMMLA(0, 0, 11)
	SMMLA(0, 0, 12); SMMLA(0, 0, 13); SMMLA(0, 0, 14); SMMLA(0, 0, 15)
	SMMLA(0, 0, 16); SMMLA(0, 0, 17); SMMLA(0, 0, 18); SMMLA(0, 0, 19)
	SMMLA(0, 0, 20); SMMLA(0, 0, 21); SMMLA(0, 0, 22); SMMLA(0, 0, 23)
	SUBS $1, R0
	BNE  loop
	RET

// func peakFMANEON(n int)
//
// 16 chains x 4.
TEXT ·peakFMANEON(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
	VEOR V0.B16, V0.B16, V0.B16

loop:
	VFMLA V0.S4, V0.S4, V8.S4
	VFMLA V0.S4, V0.S4, V9.S4
	VFMLA V0.S4, V0.S4, V10.S4
	VFMLA V0.S4, V0.S4, V11.S4
	VFMLA V0.S4, V0.S4, V12.S4
	VFMLA V0.S4, V0.S4, V13.S4
	VFMLA V0.S4, V0.S4, V14.S4
	VFMLA V0.S4, V0.S4, V15.S4
	VFMLA V0.S4, V0.S4, V16.S4
	VFMLA V0.S4, V0.S4, V17.S4
	VFMLA V0.S4, V0.S4, V18.S4
	VFMLA V0.S4, V0.S4, V19.S4
	VFMLA V0.S4, V0.S4, V20.S4
	VFMLA V0.S4, V0.S4, V21.S4
	VFMLA V0.S4, V0.S4, V22.S4
	VFMLA V0.S4, V0.S4, V23.S4
	SUBS  $1, R0
	BNE   loop
	RET
