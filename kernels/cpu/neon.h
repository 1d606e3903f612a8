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
#define SDOT(m, n, d)     WORD $(0x4e809400 | (m)<<16 | (n)<<5 | (d)) // sdot    v{d}.4s, v{n}.16b, v{m}.16b
