// The frame of the integer dot products by SMMLA, which multiplies two rows of eight
// bytes with two others: 4 weight rows by 4 tokens. A file defines SHIFT, so that 64
// weights take 1<<SHIFT bytes, and WEIGHTS4, the products of 64 inputs, which steps
// the rows.
//
// SMMLA wants eight bytes of one token beside eight of the next. The frame writes the
// tokens so, SPAN inputs of each at a time, to the stack, and runs down the weight
// rows with them; later spans add to the sums of the ones before.
//
// R0 sum, R1 w and R2 x of the span, R3 k, R4 rows, R5 bytes between sums, R6 a row's
// bytes, R7 blocks left, R8 blocks of the span. In a span: R15 rows left, R14 blocks
// left, R13 tokens, R19..R22 weight rows, R23 sums, R24 the first weight row.
// V16..V23 sums, in pairs: V16 + V20 hold tokens 0 and 1 by rows 0 and 1, the next
// ones tokens 0, 1 by rows 2, 3, then tokens 2, 3 by rows 0, 1 and by rows 2, 3.
// V30 is 0 in the first span, else ones; V31 is free for a constant.

// 2048 inputs of 4 tokens are 8 KiB, a quarter or less of L1.
#define SPAN 32
#define BUF  $buf-8192(SP)

#define PACK \
	VLD1.P 16(R9), [V0.B16]  \
	VLD1.P 16(R10), [V1.B16] \
	VLD1.P 16(R11), [V2.B16] \
	VLD1.P 16(R12), [V3.B16] \
	VZIP1  V1.D2, V0.D2, V4.D2 \
	VZIP1  V3.D2, V2.D2, V5.D2 \
	VZIP2  V1.D2, V0.D2, V6.D2 \
	VZIP2  V3.D2, V2.D2, V7.D2 \
	VST1.P [V4.B16, V5.B16, V6.B16, V7.B16], 64(R13)

// ROWS loads 16 bytes of each row and zips them to V4..V7: rows 0, 1 and 2, 3 of
// the first eight bytes, then of the others.
#define ROWS \
	VLD1.P 16(R19), [V0.B16] \
	VLD1.P 16(R20), [V1.B16] \
	VLD1.P 16(R21), [V2.B16] \
	VLD1.P 16(R22), [V3.B16] \
	VZIP1  V1.D2, V0.D2, V4.D2 \
	VZIP1  V3.D2, V2.D2, V5.D2 \
	VZIP2  V1.D2, V0.D2, V6.D2 \
	VZIP2  V3.D2, V2.D2, V7.D2

// PRODUCTS multiplies 16 inputs of the tokens, 64 bytes from at on, with those of
// the rows, zipped in V{a}..V{d}.
#define PRODUCTS(at, a, b, c, d) \
	FMOVQ (at+0)(R13), F8   \
	FMOVQ (at+16)(R13), F9  \
	FMOVQ (at+32)(R13), F10 \
	FMOVQ (at+48)(R13), F11 \
	SMMLA(a, 8, 16); SMMLA(b, 8, 17) \
	SMMLA(a, 9, 18); SMMLA(b, 9, 19) \
	SMMLA(c, 10, 20); SMMLA(d, 10, 21) \
	SMMLA(c, 11, 22); SMMLA(d, 11, 23)

// STORE sets or adds a token's four sums.
#define STORE(v) \
	VLD1 (R12), [V24.S4]           \
	VAND V30.B16, V24.B16, V24.B16 \
	VADD V24.S4, v.S4, v.S4        \
	VST1 [v.S4], (R12)             \
	ADD  R5, R12

#define ZERO4(a, b, c, d) \
	VEOR a.B16, a.B16, a.B16 \
	VEOR b.B16, b.B16, b.B16 \
	VEOR c.B16, c.B16, c.B16 \
	VEOR d.B16, d.B16, d.B16

#define BLOCK \
	MOVD sum_base+0(FP), R0 \
	MOVD w_base+24(FP), R1  \
	MOVD x_base+48(FP), R2  \
	MOVD k+72(FP), R3       \
	MOVD rows+80(FP), R4    \
	MOVD stride+88(FP), R5  \
	LSL  $2, R5             \
	LSR  $6, R3, R7         \
	LSL  $SHIFT, R7, R6     \
	VEOR V30.B16, V30.B16, V30.B16 \
span: \
	MOVD $SPAN, R8        \
	CMP  R8, R7           \
	CSEL LT, R7, R8, R8   \
	MOVD R2, R9           \
	ADD  R3, R9, R10      \
	ADD  R3, R10, R11     \
	ADD  R3, R11, R12     \
	MOVD BUF, R13         \
	LSL  $2, R8, R14      \
pack: \
	PACK                  \
	SUBS $1, R14          \
	BNE  pack             \
	MOVD R9, R2           \
	MOVD R0, R23          \
	MOVD R1, R24          \
	MOVD R4, R15          \
row: \
	MOVD R24, R19         \
	ADD  R6, R19, R20     \
	ADD  R6, R20, R21     \
	ADD  R6, R21, R22     \
	MOVD BUF, R13         \
	MOVD R8, R14          \
	ZERO4(V16, V17, V18, V19) \
	ZERO4(V20, V21, V22, V23) \
block: \
	WEIGHTS4              \
	ADD  $256, R13        \
	SUBS $1, R14          \
	BNE  block            \
	VADD V20.S4, V16.S4, V16.S4  \
	VADD V21.S4, V17.S4, V17.S4  \
	VADD V22.S4, V18.S4, V18.S4  \
	VADD V23.S4, V19.S4, V19.S4  \
	VZIP1 V17.D2, V16.D2, V20.D2 \
	VZIP2 V17.D2, V16.D2, V21.D2 \
	VZIP1 V19.D2, V18.D2, V22.D2 \
	VZIP2 V19.D2, V18.D2, V23.D2 \
	MOVD R23, R12         \
	STORE(V20)            \
	STORE(V21)            \
	STORE(V22)            \
	STORE(V23)            \
	ADD  $16, R23         \
	ADD  R6<<2, R24       \
	SUBS $4, R15          \
	BNE  row              \
	VCMEQ V30.B16, V30.B16, V30.B16 \
	ADD  R8<<SHIFT, R1    \
	SUBS R8, R7           \
	BNE  span             \
	RET
