// RMSNorm: out [T, H] = (x·r)·weight, r = 1/√(Σx²/H + eps), quantized per token.
// Bit for bit the CPUs': Σx² is fp.Dot over the padded row.
//
// Grid [T]: a CTA does one row, of any number of threads in whole warps. For Σx²
// eight threads do a block of 256 columns, lane by lane, so that H/32 threads work;
// then a thread does every blockDim-th column. The row comes from the L1 cache
// after the first pass.
//
// Shared memory: 4 KiB + 128 bytes; xStride <= 32,768. Speed: unmeasured.
#include "rows.h"

extern "C" __global__ void __launch_bounds__(1024) rms_norm(int64_t bits, int64_t cols, int64_t stride, int8_t* q, float* scale, int* sum, float* f, const float* x, int64_t xStride, const float* weight, int64_t eps, uint64_t* failed, int64_t op) {
  const int block = 256, lanes = 8;
  SMEM(float, parts, 32768 / block * lanes);
  SMEM(float, total, 1);
  int64_t row = blockIdx.x;
  int t = threadIdx.x, n = blockDim.x, blocks = (int)(xStride + block - 1) / block;
  x += row * xStride;
  for (int p = t; p < blocks * lanes; p += n) {
    int from = p / lanes * block + p % lanes, to = from + block < xStride ? from + block : (int)xStride;
    float acc = 0;
    for (int i = from; i < to; i += lanes) acc = fma_f32(x[i], x[i], acc);
    parts[p] = acc;
  }
  sync_block();
  if (t < 32) { // the whole warp, for shfl
    float acc = 0;
    for (int b = 0; b < blocks; b++) acc += parts[b * lanes + t % lanes];
    acc = sum8(acc);
    if (t == 0) total[0] = acc;
  }
  sync_block();
  float ss = total[0];
  float r = div_f32(1.0f, sqrt_f32(div_f32(ss, (float)cols) + float_of((uint32_t)eps)));
  Rows out = {bits, cols, stride, q, scale, sum, f};
  bool finite = store_row(out, row, [&](int j) { return x[j] * r * weight[j]; });
  if (t == 0 && !(finite && (int)(bits_of(ss) & 0x7fffffff) < finite_bits)) fail_row(failed, op, row);
}
