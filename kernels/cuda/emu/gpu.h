// emu/gpu.h - the words of ../gpu.h on the emulator. Collectives follow the PTX ISA.
#pragma once
#include "emu.h"
#include <time.h>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define DEV static inline
#define threadIdx (emu::fibers[emu::current].thread)
#define blockIdx (emu::block_index)
#define blockDim (emu::block_dim)
#define gridDim (emu::grid_dim)
#define SMEM(T, name, n)                                       \
  static T name##_array[n] __attribute__((aligned(128)));      \
  T* name = emu::shared(name##_array, sizeof(name##_array))
#define DYNAMIC_SMEM(T, name) T* name = (T*)emu::dynamic_shared

namespace emu {

inline int8_t byte_of(uint32_t x, int i) { return (int8_t)(x >> (8 * i)); }

inline float half(uint16_t h) {
  uint32_t bits = (uint32_t)(h & 0x7fff) << 13;
  float f;
  memcpy(&f, &bits, 4);
  f *= 0x1p112f;  // exact: rebases the exponent, denormals too
  memcpy(&bits, &f, 4);
  if ((h & 0x7c00) == 0x7c00) bits |= 0x7f800000;
  bits |= (uint32_t)(h & 0x8000) << 16;
  memcpy(&f, &bits, 4);
  return f;
}

inline void op_sync(Warp& w) { race_warp((int)(&w - warps.data())); }

struct Shuffle { int value, mask; };
UNWATCHED inline void op_shfl_xor(Warp& w) {
  for (int l = 0; l < w.lanes; l++) {
    auto* s = (const Shuffle*)w.in[l];
    *(int*)w.out[l] = ((const Shuffle*)w.in[(l ^ s->mask) % w.lanes])->value;
  }
}

// ldmatrix.x4: lanes 8m..8m+7 give the rows of matrix m; lane l gets row l/4, bytes 4·(l%4).
inline void op_ldmatrix(Warp& w) {
  for (int l = 0; l < 32; l++)
    for (int m = 0; m < 4; m++) memcpy((uint32_t*)w.out[l] + m, (const char*)w.in[m * 8 + l / 4] + l % 4 * 4, 4);
}

// mma.m16n8k32.s8: the fragment layout of the PTX ISA, 9.7.15.5.10.
struct MmaS8 { int* c; const uint32_t *a, *b; };
UNWATCHED inline void op_mma_s8(Warp& w) {
  int8_t a[16][32], b[32][8];
  for (int l = 0; l < 32; l++) {
    auto* m = (const MmaS8*)w.in[l];
    int g = l / 4, t = l % 4;
    for (int r = 0; r < 4; r++)
      for (int i = 0; i < 4; i++) a[g + r % 2 * 8][t * 4 + i + r / 2 * 16] = byte_of(m->a[r], i);
    for (int r = 0; r < 2; r++)
      for (int i = 0; i < 4; i++) b[t * 4 + i + r * 16][g] = byte_of(m->b[r], i);
  }
  for (int l = 0; l < 32; l++) {
    auto* m = (const MmaS8*)w.in[l];
    for (int i = 0; i < 4; i++) {
      int row = l / 4 + i / 2 * 8, col = l % 4 * 2 + i % 2;
      for (int k = 0; k < 32; k++) m->c[i] += a[row][k] * b[k][col];
    }
  }
}

inline float bfloat(uint16_t h) {
  uint32_t bits = (uint32_t)h << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

// MmaFloat are a lane's operands of an mma with float32 sums. The order of a GPU's sums,
// and their rounding, are its own: these are in order of k.
struct MmaFloat { float* c; const uint32_t *a, *b; };
typedef float Columns __attribute__((vector_size(32)));
template <int K> UNWATCHED void sum_products(Warp& w, const float (*a)[K], const float (*b)[8]) {
  float c[16][8];
  auto each = [&](auto f) {
    for (int l = 0; l < 32; l++)
      for (int i = 0; i < 4; i++) f(((const MmaFloat*)w.in[l])->c[i], c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2]);
  };
  each([](float& mine, float& sum) { sum = mine; });
  for (auto& row : c) {
    Columns sum, products;
    memcpy(&sum, row, 32);
    for (int k = 0; k < K; k++) {
      memcpy(&products, b[k], 32);
      sum += a[&row - c][k] * products;
    }
    memcpy(row, &sum, 32);
  }
  each([](float& mine, float& sum) { mine = sum; });
}

// mma.m16n8k16 of f16 or bf16 (9.7.15.5.8): products of 11, or 8, bits are exact in
// float32.
template <float (*value)(uint16_t)> UNWATCHED void op_mma_half(Warp& w) {
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; l++) {
    auto* m = (const MmaFloat*)w.in[l];
    int g = l / 4, t = l % 4;
    for (int r = 0; r < 4; r++)
      for (int i = 0; i < 2; i++) a[g + r % 2 * 8][t * 2 + i + r / 2 * 8] = value((uint16_t)(m->a[r] >> 16 * i));
    for (int r = 0; r < 2; r++)
      for (int i = 0; i < 2; i++) b[t * 2 + i + r * 8][g] = value((uint16_t)(m->b[r] >> 16 * i));
  }
  sum_products<16>(w, a, b);
}

// mma.m16n8k8.tf32. Operands must be tf32: what a GPU would cut off ends the launch.
UNWATCHED inline void op_mma_tf32(Warp& w) {
  float a[16][8], b[8][8];
  auto value = [](uint32_t bits) {
    if (bits & 0x1fff) set_failure("mma of a float that is no tf32: %#x", bits);
    float f;
    memcpy(&f, &bits, 4);
    return f;
  };
  for (int l = 0; l < 32; l++) {
    auto* m = (const MmaFloat*)w.in[l];
    int g = l / 4, t = l % 4;
    for (int r = 0; r < 4; r++) a[g + r % 2 * 8][t + r / 2 * 4] = value(m->a[r]);
    for (int r = 0; r < 2; r++) b[t + r * 4][g] = value(m->b[r]);
  }
  sum_products<8>(w, a, b);
}

}  // namespace emu

DEV void sync_block() { emu::barrier(); }
DEV bool sync_block_or(bool v) {
  static bool any;
  emu::barrier();
  if (emu::current == 0) any = false;
  emu::barrier();
  any |= v;
  emu::barrier();
  return any;
}
DEV void want_shared(size_t bytes) {
  if (emu::dynamic_bytes != bytes) emu::fail("%zu bytes of dynamic shared memory, the kernel wants %zu", emu::dynamic_bytes, bytes);
}
DEV void sync_warp() { emu::collective(emu::op_sync, nullptr, nullptr); }

DEV int shfl_xor(int v, int mask) {
  emu::Shuffle in{v, mask};
  int out;
  emu::collective(emu::op_shfl_xor, &in, &out);
  return out;
}

// A cp.async copies only when it is waited for, so a missing wait reads the poison.
DEV void cp_async16(void* shared, const void* global) {
  if (((uintptr_t)shared | (uintptr_t)global) % 16) emu::fail("cp.async between addresses that are no multiples of 16");
  emu::race_late_write(shared);
  emu::fibers[emu::current].open.push_back({shared, global});
}
struct Shared {
  char* at;
  Shared operator+(int bytes) const { return {at + bytes}; }
};
DEV Shared shared_of(const void* p) { return {(char*)p}; }
DEV void cp_async16_if(Shared to, const void* global, bool there) {
  if ((uintptr_t)to.at % 16 || (there && (uintptr_t)global % 16)) emu::fail("cp.async between addresses that are no multiples of 16");
  emu::race_late_write(to.at);
  emu::fibers[emu::current].open.push_back({to.at, there ? global : nullptr});
}
DEV void cp_async16_cached_if(Shared to, const void* global, bool there) { cp_async16_if(to, global, there); }
DEV void cp_async_commit() {
  auto& f = emu::fibers[emu::current];
  f.groups.push_back(std::move(f.open));
  f.open.clear();
}
template <int N>
DEV void cp_async_wait() {
  auto& f = emu::fibers[emu::current];
  while ((int)f.groups.size() > N) {
    for (auto& c : f.groups.front()) c.src ? memcpy(c.dst, c.src, 16) : memset(c.dst, 0, 16);
    f.groups.erase(f.groups.begin());
  }
}

DEV void ldmatrix_x4(uint32_t* r, Shared row) {
  if ((uintptr_t)row.at % 16) emu::fail("ldmatrix of a row at an address that is no multiple of 16");
  emu::collective(emu::op_ldmatrix, row.at, r);
}
DEV void mma_s8(int* c, const uint32_t* a, const uint32_t* b) {
  emu::MmaS8 in{c, a, b};
  emu::collective(emu::op_mma_s8, &in, nullptr);
}
DEV void mma_f16(float* c, const uint32_t* a, const uint32_t* b) {
  emu::MmaFloat in{c, a, b};
  emu::collective(emu::op_mma_half<emu::half>, &in, nullptr);
}
DEV void mma_bf16(float* c, const uint32_t* a, const uint32_t* b) {
  emu::MmaFloat in{c, a, b};
  emu::collective(emu::op_mma_half<emu::bfloat>, &in, nullptr);
}
DEV void mma_tf32(float* c, const uint32_t* a, const uint32_t* b) {
  emu::MmaFloat in{c, a, b};
  emu::collective(emu::op_mma_tf32, &in, nullptr);
}

DEV uint32_t byte_perm(uint32_t a, uint32_t b, uint32_t how) {
  uint64_t both = (uint64_t)b << 32 | a;
  uint32_t r = 0;
  for (int i = 0; i < 4; i++) r |= (uint32_t)(both >> 8 * (how >> 4 * i & 7) & 255) << 8 * i;
  return r;
}

DEV uint32_t fetch_add_shared(uint32_t* p, uint32_t v) {
  emu::Atomic atomic;
  return (*p += v) - v;
}
DEV uint32_t and_xor(uint32_t a, uint32_t mask, uint32_t flip) { return (a & mask) ^ flip; }

DEV void atomic_add_shared(int* p, int v) {
  emu::Atomic atomic;
  *p += v;
}

DEV int atomic_add(int* p, int v) {
  emu::Atomic atomic;
  emu::race_count(p);
  return *p += v, *p - v;
}
DEV void fence_device() { emu::race_fence(); }

DEV void atomic_min(uint64_t* p, uint64_t v) {
  emu::Atomic atomic;
  if (v < *p) *p = v;
}

DEV uint64_t nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

DEV float half_to_float(uint16_t h) { return emu::half(h); }

// loaded reads n bytes from an address that has to be a multiple of n.
template <int N> DEV void loaded(void* v, const void* p) {
  if ((uintptr_t)p % N) emu::fail("load of %d bytes from an address that is no multiple of %d", N, N);
  memcpy(v, p, N);
}
template <int N> DEV void load_constant(void* v, const void* p) {
  emu::race_constant(p, N);
  loaded<N>(v, p);
}
DEV Words load16(const void* p) {
  Words v;
  load_constant<16>(&v, p);
  return v;
}
DEV void load8(uint32_t* v, const void* p) { load_constant<8>(v, p); }
DEV uint32_t load4(const void* p) {
  uint32_t v;
  load_constant<4>(&v, p);
  return v;
}
DEV Words load16_fresh(const void* p) {
  Words v;
  loaded<16>(&v, p);
  return v;
}
DEV Words load_once(const void* p) { return load16(p); }

// quant.Float16: to nearest, ties to even.
DEV uint16_t float_to_half(float f) {
  uint32_t b;
  memcpy(&b, &f, 4);
  uint16_t sign = (uint16_t)(b >> 16 & 0x8000);
  b &= 0x7fffffff;
  if (b > 0x7f800000) return 0x7fff;                // NaN
  if (b >= 0x47800000) return sign | 0x7c00;        // 2^16 and above
  if (b < 0x38800000) {                             // a denormal: adding 0.5 rounds at 2^-24
    memcpy(&f, &b, 4);
    f += 0.5f;
    memcpy(&b, &f, 4);
    return (uint16_t)(sign | (b - 0x3f000000));
  }
  b += 0xfff + (b >> 13 & 1);
  return (uint16_t)(sign | (b - 0x38000000) >> 13);
}

DEV uint32_t pack_f16(float x, float y) { return float_to_half(x) | (uint32_t)float_to_half(y) << 16; }

// quant.BFloat16, but for NaNs, of which PTX has one.
DEV uint32_t pack_bf16(float x, float y) {
  auto round = [](float f) -> uint32_t {
    uint32_t b;
    memcpy(&b, &f, 4);
    return (b & 0x7fffffff) > 0x7f800000 ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16;
  };
  return round(x) | round(y) << 16;
}

// A float32 has more than twice float16's bits, so a difference rounded to it, and then to
// float16, is that rounded once.
DEV uint32_t sub_f16x2(uint32_t a, uint32_t b) {
  return pack_f16(emu::half((uint16_t)a) - emu::half((uint16_t)b), emu::half((uint16_t)(a >> 16)) - emu::half((uint16_t)(b >> 16)));
}

DEV float fma_f32(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
DEV float div_f32(float x, float y) { return x / y; }
DEV float sqrt_f32(float x) { return __builtin_sqrtf(x); }
DEV float rint_f32(float x) { return __builtin_rintf(x); }
