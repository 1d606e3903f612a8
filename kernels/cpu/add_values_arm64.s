//go:build !purego

#include "textflag.h"
#include "neon.h"

// func addValuesNEON(o, p, v []float32, n, dim int)
//
// Four rows by 16 elements, then what rows are left one by one, 32 elements: sums
// stay in registers for all values. R0 is o, R1 p, R2 v, R3 n, R4 the bytes of a
// row of o and v, R5 the rows left, R6 the bytes left of a row.
TEXT ·addValuesNEON(SB), NOSPLIT, $0-88
	MOVD o_base+0(FP), R0
	MOVD o_len+8(FP), R5
	MOVD p_base+24(FP), R1
	MOVD v_base+48(FP), R2
	MOVD n+72(FP), R3
	MOVD dim+80(FP), R4
	UDIV R4, R5
	LSL  $2, R4

rows4:
	CMP  $4, R5
	BLT  rows1
	MOVD R4, R6

chunk4:
	ADD  R4, R0, R7
	ADD  R4, R7, R8
	ADD  R4, R8, R9
	VLD1 (R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1 (R7), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1 (R8), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1 (R9), [V12.S4, V13.S4, V14.S4, V15.S4]
	MOVD R1, R10
	ADD  $1024, R10, R11
	ADD  $1024, R11, R12
	ADD  $1024, R12, R13
	MOVD R2, R14
	MOVD R3, R15

value4:
	VLD1    (R14), [V16.S4, V17.S4, V18.S4, V19.S4]
	ADD     R4, R14
	VLD1R.P 4(R10), [V20.S4]
	VLD1R.P 4(R11), [V21.S4]
	VLD1R.P 4(R12), [V22.S4]
	VLD1R.P 4(R13), [V23.S4]
	VFMLA   V16.S4, V20.S4, V0.S4
	VFMLA   V17.S4, V20.S4, V1.S4
	VFMLA   V18.S4, V20.S4, V2.S4
	VFMLA   V19.S4, V20.S4, V3.S4
	VFMLA   V16.S4, V21.S4, V4.S4
	VFMLA   V17.S4, V21.S4, V5.S4
	VFMLA   V18.S4, V21.S4, V6.S4
	VFMLA   V19.S4, V21.S4, V7.S4
	VFMLA   V16.S4, V22.S4, V8.S4
	VFMLA   V17.S4, V22.S4, V9.S4
	VFMLA   V18.S4, V22.S4, V10.S4
	VFMLA   V19.S4, V22.S4, V11.S4
	VFMLA   V16.S4, V23.S4, V12.S4
	VFMLA   V17.S4, V23.S4, V13.S4
	VFMLA   V18.S4, V23.S4, V14.S4
	VFMLA   V19.S4, V23.S4, V15.S4
	SUBS    $1, R15
	BNE     value4

	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VST1   [V4.S4, V5.S4, V6.S4, V7.S4], (R7)
	VST1   [V8.S4, V9.S4, V10.S4, V11.S4], (R8)
	VST1   [V12.S4, V13.S4, V14.S4, V15.S4], (R9)
	ADD    $64, R2
	SUBS   $64, R6
	BNE    chunk4

	SUB R4, R2
	ADD R4, R0
	ADD R4<<1, R0
	ADD $4096, R1
	SUB $4, R5
	B   rows4

rows1:
	CBZ  R5, done
	MOVD R4, R6

chunk1:
	ADD  $64, R0, R7
	VLD1 (R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1 (R7), [V4.S4, V5.S4, V6.S4, V7.S4]
	MOVD R1, R10
	MOVD R2, R14
	MOVD R3, R15

value1:
	ADD     $64, R14, R9
	VLD1    (R14), [V16.S4, V17.S4, V18.S4, V19.S4]
	VLD1    (R9), [V20.S4, V21.S4, V22.S4, V23.S4]
	ADD     R4, R14
	VLD1R.P 4(R10), [V24.S4]
	VFMLA   V16.S4, V24.S4, V0.S4
	VFMLA   V17.S4, V24.S4, V1.S4
	VFMLA   V18.S4, V24.S4, V2.S4
	VFMLA   V19.S4, V24.S4, V3.S4
	VFMLA   V20.S4, V24.S4, V4.S4
	VFMLA   V21.S4, V24.S4, V5.S4
	VFMLA   V22.S4, V24.S4, V6.S4
	VFMLA   V23.S4, V24.S4, V7.S4
	SUBS    $1, R15
	BNE     value1

	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)
	ADD    $128, R2
	SUBS   $128, R6
	BNE    chunk1

	SUB R4, R2
	ADD $1024, R1
	SUB $1, R5
	B   rows1

done:
	RET

// func mergeNEON(o, part []float32, a, b, c float32)
TEXT ·mergeNEON(SB), NOSPLIT, $0-60
	MOVD  o_base+0(FP), R0
	MOVD  o_len+8(FP), R2
	MOVD  part_base+24(FP), R1
	FMOVS a+48(FP), F29
	VDUP  V29.S[0], V29.S4
	FMOVS b+52(FP), F30
	VDUP  V30.S[0], V30.S4
	FMOVS c+56(FP), F31
	VDUP  V31.S[0], V31.S4
	CBZ   R2, done

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	VLD1   (R0), [V2.S4, V3.S4]
	FADD4S(31, 0, 0); FADD4S(31, 1, 1)
	FMUL4S(30, 0, 0); FMUL4S(30, 1, 1)
	VFMLA  V2.S4, V29.S4, V0.S4
	VFMLA  V3.S4, V29.S4, V1.S4
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS   $8, R2
	BNE    loop

done:
	RET

// func divideNEON(out, o []float32, l float32)
TEXT ·divideNEON(SB), NOSPLIT, $0-52
	MOVD  out_base+0(FP), R0
	MOVD  o_base+24(FP), R1
	MOVD  o_len+32(FP), R2
	FMOVS l+48(FP), F31
	VDUP  V31.S[0], V31.S4
	VEOR  V30.B16, V30.B16, V30.B16
	CBZ   R2, done

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	FDIV4S(31, 0, 0); FDIV4S(31, 1, 1)
	FADD4S(30, 0, 0); FADD4S(30, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS   $8, R2
	BNE    loop

done:
	RET
