// The frame of the integer dot products: 1 to 4 tokens with one weight row after
// another. A file defines WEIGHTS, which loads 64 weights to V0..V3, and TOKEN(x, s),
// which adds their products with 64 inputs at x to the sums V{s}; V31 is free for
// a constant.
//
// R0 sum, R1 w, R3 k, R4 rows left, R5 bytes between sums, R6 blocks left, R7..R10
// tokens; V16..V19 the tokens' sums.

#define ARGS \
	MOVD  sum_base+0(FP), R0 \
	MOVD  w_base+24(FP), R1  \
	MOVD  x_base+48(FP), R7  \
	MOVD  k+72(FP), R3       \
	MOVD  rows+80(FP), R4    \
	MOVD  stride+88(FP), R5  \
	LSL   $2, R5             \
	ADD   R3, R7, R8         \
	ADD   R3, R8, R9         \
	ADD   R3, R9, R10

#define ROW(s0, s1, s2, s3) \
	LSR  $6, R3, R6                 \
	VEOR s0.B16, s0.B16, s0.B16 \
	VEOR s1.B16, s1.B16, s1.B16 \
	VEOR s2.B16, s2.B16, s2.B16 \
	VEOR s3.B16, s3.B16, s3.B16

#define STORE(x, v, to) \
	VADDV v.S4, v    \
	VMOV  v.S[0], R11 \
	MOVW  R11, (to)  \
	SUB   R3, x

#define NEXT \
	ADD  $4, R0     \
	SUBS $1, R4     \
	BNE  row        \
	RET

#define TILE1 \
	ARGS \
row: \
	ROW(V16, V16, V16, V16) \
block: \
	WEIGHTS \
	TOKEN(R7, 16) \
	SUBS $1, R6 \
	BNE  block \
	STORE(R7, V16, R0) \
	NEXT

#define TILE2 \
	ARGS \
row: \
	ROW(V16, V17, V17, V17) \
block: \
	WEIGHTS \
	TOKEN(R7, 16) \
	TOKEN(R8, 17) \
	SUBS $1, R6 \
	BNE  block \
	STORE(R7, V16, R0) \
	ADD  R5, R0, R12 \
	STORE(R8, V17, R12) \
	NEXT

#define TILE3 \
	ARGS \
row: \
	ROW(V16, V17, V18, V18) \
block: \
	WEIGHTS \
	TOKEN(R7, 16) \
	TOKEN(R8, 17) \
	TOKEN(R9, 18) \
	SUBS $1, R6 \
	BNE  block \
	STORE(R7, V16, R0) \
	ADD  R5, R0, R12 \
	STORE(R8, V17, R12) \
	ADD  R5, R12 \
	STORE(R9, V18, R12) \
	NEXT

#define TILE4 \
	ARGS \
row: \
	ROW(V16, V17, V18, V19) \
block: \
	WEIGHTS \
	TOKEN(R7, 16) \
	TOKEN(R8, 17) \
	TOKEN(R9, 18) \
	TOKEN(R10, 19) \
	SUBS $1, R6 \
	BNE  block \
	STORE(R7, V16, R0) \
	ADD  R5, R0, R12 \
	STORE(R8, V17, R12) \
	ADD  R5, R12 \
	STORE(R9, V18, R12) \
	ADD  R5, R12 \
	STORE(R10, V19, R12) \
	NEXT
