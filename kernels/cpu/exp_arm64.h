// fp.Exp on eight lanes. Constants are in V16..V27, in expConstants' order.

#define EXP_CONSTANTS(r) \
	MOVD $·expConstants(SB), r; \
	VLD1R.P 4(r), [V16.S4]; VLD1R.P 4(r), [V17.S4]; \
	VLD1R.P 4(r), [V18.S4]; VLD1R.P 4(r), [V19.S4]; \
	VLD1R.P 4(r), [V20.S4]; VLD1R.P 4(r), [V21.S4]; \
	VLD1R.P 4(r), [V22.S4]; VLD1R.P 4(r), [V23.S4]; \
	VLD1R.P 4(r), [V24.S4]; VLD1R.P 4(r), [V25.S4]; \
	VLD1R.P 4(r), [V26.S4]; VLD1R.P 4(r), [V27.S4]

// STEP sets a to c + p·r, with r in V0 and V1: one step of the polynomial.
#define STEP(c, p0, p1, a0, a1) \
	VMOV c.B16, a0.B16; VMOV c.B16, a1.B16; \
	VFMLA V0.S4, p0.S4, a0.S4; VFMLA V1.S4, p1.S4, a1.S4

// EXP replaces V0 and V1 by their exp, 0 below ExpLo. It uses V2..V9.
#define EXP \
	FCMGE4S(16, 0, 2); FCMGE4S(16, 1, 3); \
	FMIN4S(17, 0, 0); FMIN4S(17, 1, 1); \
	FMUL4S(18, 0, 4); FMUL4S(18, 1, 5); \
	FCVTNS4S(4, 4); FCVTNS4S(5, 5); \
	SCVTF4S(4, 6); SCVTF4S(5, 7); \
	VFMLA V19.S4, V6.S4, V0.S4; VFMLA V19.S4, V7.S4, V1.S4; \
	VFMLA V20.S4, V6.S4, V0.S4; VFMLA V20.S4, V7.S4, V1.S4; \
	STEP(V22, V21, V21, V8, V9); \
	STEP(V23, V8, V9, V6, V7); \
	STEP(V24, V6, V7, V8, V9); \
	STEP(V25, V8, V9, V6, V7); \
	STEP(V26, V6, V7, V8, V9); \
	FMUL4S(0, 0, 6); FMUL4S(1, 1, 7); \
	VFMLA V6.S4, V8.S4, V0.S4; VFMLA V7.S4, V9.S4, V1.S4; \
	FADD4S(27, 0, 0); FADD4S(27, 1, 1); \
	VSHL $23, V4.S4, V4.S4; VSHL $23, V5.S4, V5.S4; \
	VADD V4.S4, V0.S4, V0.S4; VADD V5.S4, V1.S4, V1.S4; \
	VAND V2.B16, V0.B16, V0.B16; VAND V3.B16, V1.B16, V1.B16
