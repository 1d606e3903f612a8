// NEON instructions that Go's assembler lacks, each with its GNU form beside it;
// TestNEONMacros assembles that and compares. Operands are register numbers, the
// destination last, as in Go.

#define FADD4S(m, n, d)   WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d)) // fadd    v{d}.4s, v{n}.4s, v{m}.4s
#define FADDP2S(n, d)     WORD $(0x7e30d800 | (n)<<5 | (d))           // faddp   s{d}, v{n}.2s
#define FCVTL4S(n, d)     WORD $(0x0e217800 | (n)<<5 | (d))           // fcvtl   v{d}.4s, v{n}.4h
#define FCVTL2_4S(n, d)   WORD $(0x4e217800 | (n)<<5 | (d))           // fcvtl2  v{d}.4s, v{n}.8h
#define SHLL4S(n, d)      WORD $(0x2e613800 | (n)<<5 | (d))           // shll    v{d}.4s, v{n}.4h, #16
#define SHLL2_4S(n, d)    WORD $(0x6e613800 | (n)<<5 | (d))           // shll2   v{d}.4s, v{n}.8h, #16
#define SXTL8H(n, d)      WORD $(0x0f08a400 | (n)<<5 | (d))           // sxtl    v{d}.8h, v{n}.8b
#define SXTL2_8H(n, d)    WORD $(0x4f08a400 | (n)<<5 | (d))           // sxtl2   v{d}.8h, v{n}.16b
#define SXTL4S(n, d)      WORD $(0x0f10a400 | (n)<<5 | (d))           // sxtl    v{d}.4s, v{n}.4h
#define SXTL2_4S(n, d)    WORD $(0x4f10a400 | (n)<<5 | (d))           // sxtl2   v{d}.4s, v{n}.8h
#define SCVTF4S(n, d)     WORD $(0x4e21d800 | (n)<<5 | (d))           // scvtf   v{d}.4s, v{n}.4s

#define SMULL(m, n, d)    WORD $(0x0e20c000 | (m)<<16 | (n)<<5 | (d)) // smull   v{d}.8h, v{n}.8b, v{m}.8b
#define SMULL2(m, n, d)   WORD $(0x4e20c000 | (m)<<16 | (n)<<5 | (d)) // smull2  v{d}.8h, v{n}.16b, v{m}.16b
#define SMLAL(m, n, d)    WORD $(0x0e208000 | (m)<<16 | (n)<<5 | (d)) // smlal   v{d}.8h, v{n}.8b, v{m}.8b
#define SMLAL2(m, n, d)   WORD $(0x4e208000 | (m)<<16 | (n)<<5 | (d)) // smlal2  v{d}.8h, v{n}.16b, v{m}.16b
#define SADALP(n, d)      WORD $(0x4e606800 | (n)<<5 | (d))           // sadalp  v{d}.4s, v{n}.8h
#define SADDLP(n, d)      WORD $(0x4e602800 | (n)<<5 | (d))           // saddlp  v{d}.4s, v{n}.8h

#define FSUB4S(m, n, d)   WORD $(0x4ea0d400 | (m)<<16 | (n)<<5 | (d)) // fsub    v{d}.4s, v{n}.4s, v{m}.4s
#define FMUL4S(m, n, d)   WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d)) // fmul    v{d}.4s, v{n}.4s, v{m}.4s
#define FDIV4S(m, n, d)   WORD $(0x6e20fc00 | (m)<<16 | (n)<<5 | (d)) // fdiv    v{d}.4s, v{n}.4s, v{m}.4s
#define FMAX4S(m, n, d)   WORD $(0x4e20f400 | (m)<<16 | (n)<<5 | (d)) // fmax    v{d}.4s, v{n}.4s, v{m}.4s
#define FMIN4S(m, n, d)   WORD $(0x4ea0f400 | (m)<<16 | (n)<<5 | (d)) // fmin    v{d}.4s, v{n}.4s, v{m}.4s
#define FADDP4S(m, n, d)  WORD $(0x6e20d400 | (m)<<16 | (n)<<5 | (d)) // faddp   v{d}.4s, v{n}.4s, v{m}.4s
#define FCMGE4S(m, n, d)  WORD $(0x6e20e400 | (m)<<16 | (n)<<5 | (d)) // fcmge   v{d}.4s, v{n}.4s, v{m}.4s
#define FNEG4S(n, d)      WORD $(0x6ea0f800 | (n)<<5 | (d))           // fneg    v{d}.4s, v{n}.4s
#define FCVTNS4S(n, d)    WORD $(0x4e21a800 | (n)<<5 | (d))           // fcvtns  v{d}.4s, v{n}.4s
#define FCVTN4H(n, d)     WORD $(0x0e216800 | (n)<<5 | (d))           // fcvtn   v{d}.4h, v{n}.4s
#define FCVTN2_8H(n, d)   WORD $(0x4e216800 | (n)<<5 | (d))           // fcvtn2  v{d}.8h, v{n}.4s
#define FRINTN4S(n, d)    WORD $(0x4e218800 | (n)<<5 | (d))           // frintn  v{d}.4s, v{n}.4s
#define FCVTL2D(n, d)     WORD $(0x0e617800 | (n)<<5 | (d))           // fcvtl   v{d}.2d, v{n}.2s
#define FCVTL2_2D(n, d)   WORD $(0x4e617800 | (n)<<5 | (d))           // fcvtl2  v{d}.2d, v{n}.4s
#define FADD2D(m, n, d)   WORD $(0x4e60d400 | (m)<<16 | (n)<<5 | (d)) // fadd    v{d}.2d, v{n}.2d, v{m}.2d
#define FADDP2D(n, d)     WORD $(0x7e70d800 | (n)<<5 | (d))           // faddp   d{d}, v{n}.2d
#define FMAXV4S(n, d)     WORD $(0x6e30f800 | (n)<<5 | (d))           // fmaxv   s{d}, v{n}.4s
#define UMAXV4S(n, d)     WORD $(0x6eb0a800 | (n)<<5 | (d))           // umaxv   s{d}, v{n}.4s
#define SMAXV4S(n, d)     WORD $(0x4eb0a800 | (n)<<5 | (d))           // smaxv   s{d}, v{n}.4s
#define SMINV4S(n, d)     WORD $(0x4eb1a800 | (n)<<5 | (d))           // sminv   s{d}, v{n}.4s
#define SMAX4S(m, n, d)   WORD $(0x4ea06400 | (m)<<16 | (n)<<5 | (d)) // smax    v{d}.4s, v{n}.4s, v{m}.4s
#define SMIN4S(m, n, d)   WORD $(0x4ea06c00 | (m)<<16 | (n)<<5 | (d)) // smin    v{d}.4s, v{n}.4s, v{m}.4s
#define SSHR31(n, d)      WORD $(0x4f210400 | (n)<<5 | (d))           // sshr    v{d}.4s, v{n}.4s, #31
#define UXTL8H(n, d)      WORD $(0x2f08a400 | (n)<<5 | (d))           // uxtl    v{d}.8h, v{n}.8b
#define UXTL4S(n, d)      WORD $(0x2f10a400 | (n)<<5 | (d))           // uxtl    v{d}.4s, v{n}.4h
#define UXTL2_4S(n, d)    WORD $(0x6f10a400 | (n)<<5 | (d))           // uxtl2   v{d}.4s, v{n}.8h

// Of the optional extensions FEAT_DotProd and FEAT_I8MM.
#define SDOT(m, n, d)     WORD $(0x4e809400 | (m)<<16 | (n)<<5 | (d)) // sdot    v{d}.4s, v{n}.16b, v{m}.16b
#define SDOT0(m, n, d)    WORD $(0x4f80e000 | (m)<<16 | (n)<<5 | (d)) // sdot    v{d}.4s, v{n}.16b, v{m}.4b[0]
#define SMMLA(m, n, d)    WORD $(0x4e80a400 | (m)<<16 | (n)<<5 | (d)) // smmla   v{d}.4s, v{n}.16b, v{m}.16b
