// SwiGLU: out [T, F] = fp.SiLU(gate)·up for gateUp [T, 2F], gate first, quantized per
// token. Bit for bit the CPUs'.
//
// Grid [T]: a CTA does one row, a thread every blockDim-th column, computing it twice:
// for the scale and for the integer.
//
// Shared memory: 128 bytes. Speed: unmeasured.
#include "rows.h"

extern "C" __global__ void __launch_bounds__(1024) swiglu(int64_t bits, int64_t cols, int64_t stride, int8_t* q, float* scale, int* sum, float* f, const float* gateUp, int64_t gateUpStride, uint64_t* failed, int64_t op) {
  int64_t row = blockIdx.x;
  const float* gate = gateUp + row * gateUpStride;
  const float* up = gate + cols;
  Rows out = {bits, cols, stride, q, scale, sum, f};
  if (!store_row(out, row, [&](int j) { return silu(gate[j]) * up[j]; }) && threadIdx.x == 0) fail_row(failed, op, row);
}
