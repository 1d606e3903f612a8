// What the GPU allows, as bench holds the operators against it (ceilings.go): how fast it
// reads, and multiplies in registers. Each kernel leaves a result that its definition
// gives, so that no compiler and no mistake can leave work out.
//
// The tensor cores are measured through mma.sync, as the linear layers use them. On
// sm_90 wgmma multiplies faster: mma.sync is known to reach 60 to 65 % of it, so a share of
// this ceiling is none of the GPU's datasheet.
#include "gpu.h"

const int threads = 256;  // of a CTA
const int chains = 8;     // products of a warp that wait for no other: with 16 warps to an SM, 32 to each tensor core

// peak_read: out [grid · 256] is the exclusive or of the words a thread reads. Grid: any; a
// thread reads 16 bytes, 4 of them in flight, and goes on behind those of all others.
extern "C" __global__ void __launch_bounds__(256) peak_read(uint32_t* out, const Words* from, int64_t n) {
  int64_t thread = (int64_t)blockIdx.x * threads + threadIdx.x, all = (int64_t)gridDim.x * threads, i = thread;
  uint32_t sum = 0;
  for (; i + 3 * all < n; i += 4 * all) {
    Words v[4];
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = load_once(from + i + j * all);
#pragma unroll
    for (int j = 0; j < 4; j++) sum ^= v[j].w[0] ^ v[j].w[1] ^ v[j].w[2] ^ v[j].w[3];
  }
  for (; i < n; i += all) {
    Words v = load_once(from + i);
    sum ^= v.w[0] ^ v.w[1] ^ v.w[2] ^ v.w[3];
  }
  out[thread] = sum;
}

// Operands are those of one product, the same for each warp. All of their bits are in use
// but those of keep and set: a GPU that multiplies zeros draws less power and runs faster.
struct Operands {
  uint32_t a[4], b[2];
  DEV_MEMBER Operands(uint32_t keep, uint32_t set) {
#pragma unroll
    for (uint32_t r = 0; r < 6; r++) {
      uint32_t bits = ((threadIdx.x % 32 * 6 + r + 1) * 0x9e3779b9u & keep) | set;
      if (r < 4) a[r] = bits;
      else b[r - 4] = bits;
    }
  }
};

// peak_mma_s8: out [grid · 256] is the sum of a thread's four words of a product [16, 32] ·
// [32, 8], as often as it is done: 8·n times, in 8 chains, modulo 2^32.
extern "C" __global__ void __launch_bounds__(256) peak_mma_s8(int* out, int64_t n) {
  Operands x(0xffffffff, 0);
  int c[chains][4] = {};
  for (int64_t i = 0; i < n; i++) {
#pragma unroll
    for (int j = 0; j < chains; j++) mma_s8(c[j], x.a, x.b);
  }
  uint32_t sum = 0;
  for (int j = 0; j < chains; j++)
    for (int k = 0; k < 4; k++) sum += (uint32_t)c[j][k];
  out[(int64_t)blockIdx.x * threads + threadIdx.x] = (int)sum;
}

// peak_mma_f16: the same of float16 operands [16, 16] · [16, 8], with float32 sums. Their
// magnitudes are in [0.5, 1), their signs and mantissas bits'.
extern "C" __global__ void __launch_bounds__(256) peak_mma_f16(float* out, int64_t n) {
  Operands x(0x83ff83ff, 0x38003800);
  float c[chains][4] = {};
  for (int64_t i = 0; i < n; i++) {
#pragma unroll
    for (int j = 0; j < chains; j++) mma_f16(c[j], x.a, x.b);
  }
  float sum = 0;
  for (int j = 0; j < chains; j++)
    for (int k = 0; k < 4; k++) sum += c[j][k];
  out[(int64_t)blockIdx.x * threads + threadIdx.x] = sum;
}

// no_work: what every launch costs.
extern "C" __global__ void no_work() {}
