// The frame of the integer scores of keys of bytes, four keys at a time with one
// query after another. A file defines KEY(key, sum), which adds to sum the products
// of the 32 bytes at key and V4, V5, and steps key.
//
// R0 is s, R1 k, R2 kscale, R3 keys left, R4 kzero, R5 dim, R6 q, R7 a, R8 queries
// left, R9 where scores go, R10..R13 keys, R14 bytes left of a vector.

#define SCORES \
	MOVD s_base+0(FP), R0 \
	MOVD k_base+24(FP), R1 \
	MOVD kscale_base+96(FP), R2 \
	MOVD kscale_len+104(FP), R3 \
	MOVD kzero_base+120(FP), R4 \
	MOVD dim+144(FP), R5 \
keys: \
	VLD1.P 16(R2), [V20.S4] \
	VLD1.P 16(R4), [V21.S4] \
	MOVD   q_base+48(FP), R6 \
	MOVD   a_base+72(FP), R7 \
	MOVD   a_len+80(FP), R8 \
	MOVD   R0, R9 \
rows: \
	MOVD R1, R10 \
	ADD  R5, R10, R11 \
	ADD  R5, R11, R12 \
	ADD  R5, R12, R13 \
	MOVD R5, R14 \
	VEOR V0.B16, V0.B16, V0.B16 \
	VEOR V1.B16, V1.B16, V1.B16 \
	VEOR V2.B16, V2.B16, V2.B16 \
	VEOR V3.B16, V3.B16, V3.B16 \
dims: \
	VLD1.P 32(R6), [V4.B16, V5.B16] \
	KEY(R10, 0) \
	KEY(R11, 1) \
	KEY(R12, 2) \
	KEY(R13, 3) \
	SUBS   $32, R14 \
	BNE    dims \
	VADDP   V1.S4, V0.S4, V0.S4 \
	VADDP   V3.S4, V2.S4, V2.S4 \
	VADDP   V2.S4, V0.S4, V0.S4 \
	SCVTF4S(0, 0) \
	VLD1R.P 4(R7), [V22.S4] \
	VLD1R.P 4(R7), [V23.S4] \
	VLD1R.P 4(R7), [V24.S4] \
	FADD4S(22, 0, 0) \
	FMUL4S(20, 0, 0) \
	VFMLA   V23.S4, V21.S4, V0.S4 \
	FMUL4S(24, 0, 0) \
	VST1    [V0.S4], (R9) \
	ADD     $1024, R9 \
	SUBS    $1, R8 \
	BNE     rows \
	ADD  R5<<2, R1 \
	ADD  $16, R0 \
	SUBS $4, R3 \
	BNE  keys \
	RET
