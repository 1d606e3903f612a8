// Embed: out [T, H] = float32(table[ids[i]]), of a table of float16, bfloat16 or
// float32 rows whose padding is zero already.
//
// Grid [T]: a CTA widens one row, a thread every blockDim-th column.
//
// No shared memory. Speed: unmeasured.
#include "gpu.h"

extern "C" __global__ void embed_f16(float* out, int64_t stride, const uint16_t* table, const int* ids) {
  out += blockIdx.x * stride;
  table += ids[blockIdx.x] * stride;
  for (int64_t j = threadIdx.x; j < stride; j += blockDim.x) out[j] = half_to_float(table[j]);
}

extern "C" __global__ void embed_bf16(float* out, int64_t stride, const uint16_t* table, const int* ids) {
  out += blockIdx.x * stride;
  table += ids[blockIdx.x] * stride;
  for (int64_t j = threadIdx.x; j < stride; j += blockDim.x) out[j] = float_of((uint32_t)table[j] << 16);
}

extern "C" __global__ void embed_f32(float* out, int64_t stride, const float* table, const int* ids) {
  out += blockIdx.x * stride;
  table += ids[blockIdx.x] * stride;
  for (int64_t j = threadIdx.x; j < stride; j += blockDim.x) out[j] = table[j];
}
