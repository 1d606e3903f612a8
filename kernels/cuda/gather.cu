// Gather: out [n, cols] = x[rows[i]], padding to the stride set to zero.
//
// Grid [n]: a CTA copies one row, a thread every blockDim-th column.
//
// No shared memory. Speed: unmeasured.
#include "gpu.h"

extern "C" __global__ void gather(float* out, int64_t outStride, const float* x, int64_t xStride, int64_t cols, const int* rows) {
  out += blockIdx.x * outStride;
  x += rows[blockIdx.x] * xStride;
  for (int64_t j = threadIdx.x; j < outStride; j += blockDim.x) out[j] = j < cols ? x[j] : 0.0f;
}
