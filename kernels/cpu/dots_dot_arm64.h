// The frame of the integer dot products by SDOT: 1 to 3 tokens with one weight row
// after another, and 4 tokens with 4 weight rows at a time. A file defines WEIGHTS,
// which loads 64 weights of a row to V0..V3.
//
// R0 sum, R1 w, R3 k, R4 rows left, R5 bytes between sums, R6 blocks left, R12 where
// the next sum goes; R7..R10 tokens, each with two registers of sums from V8 on; V31 is free for a constant.

#define ARGS \
	MOVD sum_base+0(FP), R0 \
	MOVD w_base+24(FP), R1  \
	MOVD x_base+48(FP), R12 \
	MOVD k+72(FP), R3       \
	MOVD rows+80(FP), R4    \
	MOVD stride+88(FP), R5  \
	LSL  $2, R5

// UPTOn does f for each of the first n tokens: its pointer, and its sums as names
// and as numbers.
#define UPTO2(f) f(R7, V8, V9, 8, 9) f(R8, V10, V11, 10, 11)
#define UPTO3(f) UPTO2(f) f(R9, V12, V13, 12, 13)
#define UPTO4(f) UPTO3(f) f(R10, V14, V15, 14, 15)

#define POINT(x, va, vb, a, b) \
	MOVD R12, x  \
	ADD  R3, R12 \

#define ZERO(x, va, vb, a, b) \
	VEOR va.B16, va.B16, va.B16 \
	VEOR vb.B16, vb.B16, vb.B16 \

#define TOKEN(x, va, vb, a, b) \
	VLD1.P 64(x), [V4.B16, V5.B16, V6.B16, V7.B16] \
	SDOT(4, 0, a); SDOT(5, 1, b) \
	SDOT(6, 2, a); SDOT(7, 3, b) \

#define STORE(x, va, vb, a, b) \
	VADD  vb.S4, va.S4, va.S4 \
	VADDV va.S4, va    \
	VMOV  va.S[0], R11 \
	MOVW  R11, (R12)   \
	ADD   R5, R12      \
	SUB   R3, x        \

#define TILE(upto) \
	ARGS \
	upto(POINT) \
row: \
	LSR  $6, R3, R6 \
	upto(ZERO) \
block: \
	WEIGHTS \
	upto(TOKEN) \
	SUBS $1, R6 \
	BNE  block \
	MOVD R0, R12 \
	upto(STORE) \
	ADD  $4, R0 \
	SUBS $1, R4 \
	BNE  row \
	RET

// One token has four registers of sums: decode must not wait for its own sums.
#define TILE1 \
	ARGS \
	MOVD R12, R7 \
row: \
	LSR  $6, R3, R6 \
	ZERO(R7, V8, V9, 8, 9) \
	ZERO(R7, V10, V11, 10, 11) \
block: \
	WEIGHTS \
	VLD1.P 64(R7), [V4.B16, V5.B16, V6.B16, V7.B16] \
	SDOT(4, 0, 8); SDOT(5, 1, 9) \
	SDOT(6, 2, 10); SDOT(7, 3, 11) \
	SUBS $1, R6 \
	BNE  block \
	VADD V10.S4, V8.S4, V8.S4 \
	VADD V11.S4, V9.S4, V9.S4 \
	MOVD R0, R12 \
	STORE(R7, V8, V9, 8, 9) \
	ADD  $4, R0 \
	SUBS $1, R4 \
	BNE  row \
	RET

// The block has rows R1 and R20..R22, R2 three times their distance, tokens R7..R10,
// and the sum of token t and row r in V{16+4t+r}. A file defines ROWBYTES, which
// sets R2 to a row's bytes, and WEIGHTS4, the products of 64 inputs, which steps
// the rows.

#define INPUTS(at) \
	FMOVQ at(R7), F8  \
	FMOVQ at(R8), F9  \
	FMOVQ at(R9), F10 \
	FMOVQ at(R10), F11

#define PRODUCTS(x, a, b, c, d, s0, s1, s2, s3) \
	SDOT(x, a, s0); SDOT(x, b, s1); SDOT(x, c, s2); SDOT(x, d, s3)

// DOTS16 multiplies 16 inputs of the tokens, from byte at on, with those of the
// rows, V{a}..V{d}.
#define DOTS16(at, a, b, c, d) \
	INPUTS(at) \
	PRODUCTS(8, a, b, c, d, 16, 17, 18, 19) \
	PRODUCTS(9, a, b, c, d, 20, 21, 22, 23) \
	PRODUCTS(10, a, b, c, d, 24, 25, 26, 27) \
	PRODUCTS(11, a, b, c, d, 28, 29, 30, 31)

#define ZERO4(a, b, c, d) \
	VEOR a.B16, a.B16, a.B16 \
	VEOR b.B16, b.B16, b.B16 \
	VEOR c.B16, c.B16, c.B16 \
	VEOR d.B16, d.B16, d.B16

#define STORE4(a, b, c, d, f) \
	VADDP b.S4, a.S4, a.S4 \
	VADDP d.S4, c.S4, c.S4 \
	VADDP c.S4, a.S4, a.S4 \
	FMOVQ f, (R12)         \
	ADD   R5, R12

#define BLOCK \
	ARGS \
	UPTO4(POINT) \
	ROWBYTES \
	ADD  R2, R1, R20 \
	ADD  R2, R20, R21 \
	ADD  R2, R21, R22 \
	ADD  R2<<1, R2 \
row: \
	LSR  $6, R3, R6 \
	ZERO4(V16, V17, V18, V19) \
	ZERO4(V20, V21, V22, V23) \
	ZERO4(V24, V25, V26, V27) \
	ZERO4(V28, V29, V30, V31) \
block: \
	WEIGHTS4 \
	ADD  $64, R7 \
	ADD  $64, R8 \
	ADD  $64, R9 \
	ADD  $64, R10 \
	SUBS $1, R6 \
	BNE  block \
	MOVD R0, R12 \
	STORE4(V16, V17, V18, V19, F16) \
	STORE4(V20, V21, V22, V23, F20) \
	STORE4(V24, V25, V26, V27, F24) \
	STORE4(V28, V29, V30, V31, F28) \
	SUB  R3, R7 \
	SUB  R3, R8 \
	SUB  R3, R9 \
	SUB  R3, R10 \
	ADD  R2, R1 \
	ADD  R2, R20 \
	ADD  R2, R21 \
	ADD  R2, R22 \
	ADD  $16, R0 \
	SUBS $4, R4 \
	BNE  row \
	RET
