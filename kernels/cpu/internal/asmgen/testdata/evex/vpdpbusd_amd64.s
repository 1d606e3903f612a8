#include "textflag.h"

#define LOAD \
	MOVQ    sum+0(FP), AX \
	MOVQ    u8+8(FP), BX  \
	MOVQ    s8+16(FP), CX \
	VMOVDQU (AX), Y0      \
	VMOVDQU (BX), Y1      \
	VMOVDQU (CX), Y2

#define STORE \
	VMOVDQU Y0, (AX) \
	VZEROUPPER       \
	RET

// func vpdpbusdEVEX(sum *[8]int32, u8 *[32]uint8, s8 *[32]int8)
TEXT ·vpdpbusdEVEX(SB), NOSPLIT, $0-24
	LOAD
	VPDPBUSD Y2, Y1, Y0
	STORE

// func vpdpbusdVEX(sum *[8]int32, u8 *[32]uint8, s8 *[32]int8)
TEXT ·vpdpbusdVEX(SB), NOSPLIT, $0-24
	LOAD
	LONG $0x5075e2c4; BYTE $0xc2 // {vex} vpdpbusd %ymm2, %ymm1, %ymm0
	STORE
