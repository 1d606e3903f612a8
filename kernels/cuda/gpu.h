// gpu.h - the few words that kernels are written in, for three compilers:
//   clang -x cuda -nocudainc -nocudalib   to PTX, with no NVIDIA file
//   nvcc                                  to cubins
//   g++ -DGPU_EMU                         to run in the emulator (emu/gpu.h)
//
// Kernels are `extern "C" __global__ void name(...)` on one line, so that the list of
// them can be read off; a parameter is a pointer or a number of at most 8 bytes.
// Nothing is contracted or approximate: float operations round one by one.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Words are 16 bytes, what one load or store of a thread moves where they are aligned.
struct alignas(16) Words { uint32_t w[4]; };

#if defined(GPU_EMU)
#include "emu/gpu.h"
#else

#if defined(__clang__)
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ __inline__ __attribute__((always_inline))
struct Dim { unsigned x, y, z; };
#define threadIdx (Dim{(unsigned)__nvvm_read_ptx_sreg_tid_x(), (unsigned)__nvvm_read_ptx_sreg_tid_y(), (unsigned)__nvvm_read_ptx_sreg_tid_z()})
#define blockIdx (Dim{(unsigned)__nvvm_read_ptx_sreg_ctaid_x(), (unsigned)__nvvm_read_ptx_sreg_ctaid_y(), (unsigned)__nvvm_read_ptx_sreg_ctaid_z()})
#define blockDim (Dim{(unsigned)__nvvm_read_ptx_sreg_ntid_x(), (unsigned)__nvvm_read_ptx_sreg_ntid_y(), (unsigned)__nvvm_read_ptx_sreg_ntid_z()})
#define gridDim (Dim{(unsigned)__nvvm_read_ptx_sreg_nctaid_x(), (unsigned)__nvvm_read_ptx_sreg_nctaid_y(), (unsigned)__nvvm_read_ptx_sreg_nctaid_z()})
#define sync_block() __nvvm_bar_sync(0)
#else
#define sync_block() __syncthreads()
#endif

#define DEV static __device__ __forceinline__
#define SMEM(T, name, n) __shared__ __attribute__((aligned(128))) T name[n]
#define DYNAMIC_SMEM(T, name)                                              \
  extern __shared__ __attribute__((aligned(128))) char dynamic_shared[];   \
  T* name = (T*)dynamic_shared

// sync_block_or is sync_block, and whether any thread's v is true.
DEV bool sync_block_or(bool v) {
  int r;
  asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.s32 p,%1,0;\n\tbarrier.red.or.pred p,0,p;\n\tselp.s32 %0,1,0,p;\n\t}" : "=r"(r) : "r"((int)v) : "memory");
  return r != 0;
}

// want_shared ends the launch where it has less dynamic shared memory than the kernel
// lays out, in the emulator also where it has more: the host's figure and the kernel's
// cannot drift apart.
DEV void want_shared(size_t bytes) {
  uint32_t have;
  asm("mov.u32 %0,%%dynamic_smem_size;" : "=r"(have));
  if (have < bytes) asm volatile("trap;");
}

DEV void sync_warp() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

// Shared is a place in shared memory, of 32 bits: a sum of a pointer's 64, and its
// conversion, cost a load four instructions.
struct Shared {
  uint32_t at;
  __device__ __forceinline__ Shared operator+(int bytes) const { return {at + (uint32_t)bytes}; }
};

DEV uint32_t smem_addr(const void* p) {
  uint64_t r;
  asm("cvta.to.shared.u64 %0, %1;" : "=l"(r) : "l"(p));
  return (uint32_t)r;
}

DEV int shfl_xor(int v, int mask) {
  int r;
  asm volatile("shfl.sync.bfly.b32 %0,%1,%2,31,0xffffffff;" : "=r"(r) : "r"(v), "r"(mask));
  return r;
}

// byte_perm returns the bytes that four nibbles of how name, of b:a: the lowest is byte 0 of a.
DEV uint32_t byte_perm(uint32_t a, uint32_t b, uint32_t how) {
  uint32_t r;
  asm("prmt.b32 %0,%1,%2,%3;" : "=r"(r) : "r"(a), "r"(b), "r"(how));
  return r;
}

DEV uint32_t fetch_add_shared(uint32_t* p, uint32_t v) {
  uint32_t r;
  asm volatile("atom.shared.add.u32 %0,[%1],%2;" : "=r"(r) : "r"(smem_addr(p)), "r"(v) : "memory");
  return r;
}

// and_xor is (a & mask) ^ flip, in one instruction: ptxas makes two of constants.
DEV uint32_t and_xor(uint32_t a, uint32_t mask, uint32_t flip) {
  uint32_t r;
  asm("lop3.b32 %0,%1,%2,%3,0x6a;" : "=r"(r) : "r"(a), "r"(mask), "r"(flip));
  return r;
}

DEV void atomic_add_shared(int* p, int v) { asm volatile("red.shared.add.s32 [%0],%1;" ::"r"(smem_addr(p)), "r"(v) : "memory"); }

DEV void cp_async16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(smem_addr(shared)), "l"(global) : "memory");
}
// cp_async16_if copies 16 bytes where they are there, and zeros without reading where
// not; the other leaves them in L1 too, for other CTAs.
DEV void cp_async16_if(Shared to, const void* global, bool there) {
  asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(to.at), "l"(global), "r"(there ? 16 : 0) : "memory");
}
DEV void cp_async16_cached_if(Shared to, const void* global, bool there) {
  asm volatile("cp.async.ca.shared.global [%0],[%1],16,%2;" ::"r"(to.at), "l"(global), "r"(there ? 16 : 0) : "memory");
}
DEV void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
DEV void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

DEV Shared shared_of(const void* p) { return {smem_addr(p)}; }
DEV void ldmatrix_x4(uint32_t* r, Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row.at)
               : "memory");
}

DEV void mma_s8(int* c, const uint32_t* a, const uint32_t* b) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEV void mma_f16(float* c, const uint32_t* a, const uint32_t* b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEV void mma_bf16(float* c, const uint32_t* a, const uint32_t* b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEV void mma_tf32(float* c, const uint32_t* a, const uint32_t* b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// atomic_add returns what was there. fence_device orders what a thread, and those it met at
// a barrier before, wrote for a CTA whose thread sees what this one writes next (tickets.h);
// load16_fresh reads past L1.
DEV int atomic_add(int* p, int v) {
  int old;
  asm volatile("atom.global.add.s32 %0,[%1],%2;" : "=r"(old) : "l"(p), "r"(v) : "memory");
  return old;
}
DEV void fence_device() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
DEV Words load16_fresh(const void* p) {
  Words v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3},[%4];" : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p) : "memory");
  return v;
}

DEV void atomic_min(uint64_t* p, uint64_t v) { asm volatile("red.global.min.u64 [%0],%1;" ::"l"(p), "l"(v) : "memory"); }

// nanoseconds is the GPU's clock, which moves by up to a microsecond at a time.
DEV uint64_t nanoseconds() {
  uint64_t t;
  asm volatile("mov.u64 %0,%%globaltimer;" : "=l"(t));
  return t;
}

DEV float half_to_float(uint16_t h) {
  float f;
  asm("cvt.f32.f16 %0,%1;" : "=f"(f) : "h"(h));
  return f;
}
DEV uint16_t float_to_half(float f) {
  uint16_t h;
  asm("cvt.rn.f16.f32 %0,%1;" : "=h"(h) : "f"(f));
  return h;
}

// pack_f16 and pack_bf16 round to nearest even; x is the lower half.
DEV uint32_t pack_f16(float x, float y) {
  uint32_t r;
  asm("cvt.rn.f16x2.f32 %0,%1,%2;" : "=r"(r) : "f"(y), "f"(x));
  return r;
}
DEV uint32_t pack_bf16(float x, float y) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0,%1,%2;" : "=r"(r) : "f"(y), "f"(x));
  return r;
}
DEV uint32_t sub_f16x2(uint32_t a, uint32_t b) {
  uint32_t r;
  asm("sub.rn.f16x2 %0,%1,%2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

// load16 loads from an address that is a multiple of 16, load8 of 8, load4 of 4; load_once
// what is not read again.
DEV Words load16(const void* p) {
  Words v;
  asm("ld.global.nc.v4.u32 {%0,%1,%2,%3},[%4];" : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p));
  return v;
}
DEV void load8(uint32_t* v, const void* p) { asm("ld.global.nc.v2.u32 {%0,%1},[%2];" : "=r"(v[0]), "=r"(v[1]) : "l"(p)); }
DEV uint32_t load4(const void* p) {
  uint32_t v;
  asm("ld.global.nc.u32 %0,[%1];" : "=r"(v) : "l"(p));
  return v;
}
DEV Words load_once(const void* p) {
  Words v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3},[%4];" : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p));
  return v;
}

DEV float fma_f32(float x, float y, float z) {
  float r;
  asm("fma.rn.f32 %0,%1,%2,%3;" : "=f"(r) : "f"(x), "f"(y), "f"(z));
  return r;
}
DEV float div_f32(float x, float y) {
  float r;
  asm("div.rn.f32 %0,%1,%2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
DEV float sqrt_f32(float x) {
  float r;
  asm("sqrt.rn.f32 %0,%1;" : "=f"(r) : "f"(x));
  return r;
}
DEV float rint_f32(float x) {
  float r;
  asm("cvt.rni.f32.f32 %0,%1;" : "=f"(r) : "f"(x));
  return r;
}

#endif

#define DEV_MEMBER __device__ __forceinline__
union Word { float f; uint32_t u; };
DEV uint32_t bits_of(float x) { return Word{x}.u; }
DEV float float_of(uint32_t bits) { Word w; w.u = bits; return w.f; }
DEV float shfl_xor_f32(float v, int mask) { return float_of((uint32_t)shfl_xor((int)bits_of(v), mask)); }

// fail_row tells the host that operator number op, counted since its last Sync, met
// a row it cannot compute. The first operator's first row is kept.
DEV void fail_row(uint64_t* failed, int64_t op, int64_t row) { atomic_min(failed, (uint64_t)op << 32 | (uint64_t)row); }
