// Loads of 32 stored weights at w, in two forms: LO for inputs 0..31 of a group of
// 64, HI for 32..63; both leave them as float32 in V4..V11, in order, and HI
// leaves w at the next group. V0..V3 are scratch. int4 wants 15 in V26's bytes and
// 8 in V27's.

#define LOAD_FLOAT32(w) \
	VLD1.P 64(w), [V4.S4, V5.S4, V6.S4, V7.S4]; \
	VLD1.P 64(w), [V8.S4, V9.S4, V10.S4, V11.S4]
#define LOAD_FLOAT32_LO(w) LOAD_FLOAT32(w)
#define LOAD_FLOAT32_HI(w) LOAD_FLOAT32(w)

#define LOAD_FLOAT16(w) \
	VLD1.P 64(w), [V0.H8, V1.H8, V2.H8, V3.H8]; \
	FCVTL4S(0, 4); FCVTL2_4S(0, 5); FCVTL4S(1, 6); FCVTL2_4S(1, 7); \
	FCVTL4S(2, 8); FCVTL2_4S(2, 9); FCVTL4S(3, 10); FCVTL2_4S(3, 11)
#define LOAD_FLOAT16_LO(w) LOAD_FLOAT16(w)
#define LOAD_FLOAT16_HI(w) LOAD_FLOAT16(w)

#define LOAD_BFLOAT16(w) \
	VLD1.P 64(w), [V0.H8, V1.H8, V2.H8, V3.H8]; \
	SHLL4S(0, 4); SHLL2_4S(0, 5); SHLL4S(1, 6); SHLL2_4S(1, 7); \
	SHLL4S(2, 8); SHLL2_4S(2, 9); SHLL4S(3, 10); SHLL2_4S(3, 11)
#define LOAD_BFLOAT16_LO(w) LOAD_BFLOAT16(w)
#define LOAD_BFLOAT16_HI(w) LOAD_BFLOAT16(w)

// FROM_INT8 turns the 32 int8 in V0, V1.
#define FROM_INT8 \
	SXTL8H(0, 2); SXTL2_8H(0, 3); \
	SXTL4S(2, 4); SXTL2_4S(2, 5); SXTL4S(3, 6); SXTL2_4S(3, 7); \
	SXTL8H(1, 2); SXTL2_8H(1, 3); \
	SXTL4S(2, 8); SXTL2_4S(2, 9); SXTL4S(3, 10); SXTL2_4S(3, 11); \
	SCVTF4S(4, 4); SCVTF4S(5, 5); SCVTF4S(6, 6); SCVTF4S(7, 7); \
	SCVTF4S(8, 8); SCVTF4S(9, 9); SCVTF4S(10, 10); SCVTF4S(11, 11)

#define LOAD_INT8(w) \
	VLD1.P 32(w), [V0.B16, V1.B16]; \
	FROM_INT8
#define LOAD_INT8_LO(w) LOAD_INT8(w)
#define LOAD_INT8_HI(w) LOAD_INT8(w)

#define LOAD_INT4_LO(w) \
	VLD1 (w), [V0.B16, V1.B16]; \
	VAND V26.B16, V0.B16, V0.B16; VAND V26.B16, V1.B16, V1.B16; \
	VSUB V27.B16, V0.B16, V0.B16; VSUB V27.B16, V1.B16, V1.B16; \
	FROM_INT8
#define LOAD_INT4_HI(w) \
	VLD1.P 32(w), [V0.B16, V1.B16]; \
	VUSHR $4, V0.B16, V0.B16; VUSHR $4, V1.B16, V1.B16; \
	VSUB V27.B16, V0.B16, V0.B16; VSUB V27.B16, V1.B16, V1.B16; \
	FROM_INT8

#define INT4_CONSTANTS \
	VMOVI $15, V26.B16; \
	VMOVI $8, V27.B16
