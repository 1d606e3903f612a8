// What the loops of addInts have in common. R0 is o, R1 p, R2 v, R3 n, R4 the bytes of
// a row of o and of a quad of values, R5 the rows left, R6 the bytes left of a row,
// V0..V15 the sums, an upper and a lower plane's: o += upper << 7 + lower.

#define ARGS \
	MOVD o_base+0(FP), R0  \
	MOVD o_len+8(FP), R5   \
	MOVD p_base+24(FP), R1 \
	MOVD v_base+48(FP), R2 \
	MOVD n+72(FP), R3      \
	MOVD dim+80(FP), R4    \
	UDIV R4, R5            \
	LSL  $2, R4

#define ZERO4(a, b, c, d) \
	VEOR a.B16, a.B16, a.B16 \
	VEOR b.B16, b.B16, b.B16 \
	VEOR c.B16, c.B16, c.B16 \
	VEOR d.B16, d.B16, d.B16

#define ZEROSUMS \
	ZERO4(V0, V1, V2, V3)   \
	ZERO4(V4, V5, V6, V7)   \
	ZERO4(V8, V9, V10, V11) \
	ZERO4(V12, V13, V14, V15)
