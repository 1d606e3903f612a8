// Quantize: out [T, H] = x, quantized per token; a copy with 16 bits.
//
// Grid [T]: a CTA does one row, a thread every blockDim-th column.
//
// Shared memory: 128 bytes. Speed: unmeasured.
#include "rows.h"

extern "C" __global__ void __launch_bounds__(1024) quantize(int64_t bits, int64_t cols, int64_t stride, int8_t* q, float* scale, int* sum, float* f, const float* x, int64_t xStride, uint64_t* failed, int64_t op) {
  int64_t row = blockIdx.x;
  x += row * xStride;
  Rows out = {bits, cols, stride, q, scale, sum, f};
  if (!store_row(out, row, [&](int j) { return x[j]; }) && threadIdx.x == 0) fail_row(failed, op, row);
}
