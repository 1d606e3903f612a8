// Gather: out [n, cols] = x[rows[i]], padding to the stride set to zero.
//
// Grid [n]: a CTA copies one row, a thread every blockDim-th column.
//
// No shared memory. Speed: unmeasured.
#include "gpu.h"

extern "C" __global__ void gather(float* out, int64_t outStride, const float* x, int64_t xRows, int64_t xStride, int64_t cols, const int* rows, uint64_t* failed, int64_t op) {
  int64_t i = blockIdx.x, row = rows[i];
  if (row < 0 || row >= xRows) {
    if (threadIdx.x == 0) fail_row(failed, op, i);
    return;
  }
  out += i * outStride;
  x += row * xStride;
  for (int64_t j = threadIdx.x; j < outStride; j += blockDim.x) out[j] = j < cols ? x[j] : 0.0f;
}
