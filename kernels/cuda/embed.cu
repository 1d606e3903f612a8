// Embed: out [T, H] = float32(table[ids[i]]), of a table [vocab, H] of float16,
// bfloat16 or float32, whose padding is zero already.
//
// Grid [T]: a CTA widens one row, a thread every blockDim-th column.
//
// No shared memory. Speed: unmeasured.
#include "gpu.h"

template <class T, class Widen>
DEV void embed(float* out, int64_t stride, const T* table, int64_t vocab, const int* ids, uint64_t* failed, int64_t op, Widen widen) {
  int64_t i = blockIdx.x, id = ids[i];
  if (id < 0 || id >= vocab) {
    if (threadIdx.x == 0) fail_row(failed, op, i);
    return;
  }
  out += i * stride;
  table += id * stride;
  for (int64_t j = threadIdx.x; j < stride; j += blockDim.x) out[j] = widen(table[j]);
}

extern "C" __global__ void embed_f16(float* out, int64_t stride, const uint16_t* table, int64_t vocab, const int* ids, uint64_t* failed, int64_t op) {
  embed(out, stride, table, vocab, ids, failed, op, [](uint16_t h) { return half_to_float(h); });
}

extern "C" __global__ void embed_bf16(float* out, int64_t stride, const uint16_t* table, int64_t vocab, const int* ids, uint64_t* failed, int64_t op) {
  embed(out, stride, table, vocab, ids, failed, op, [](uint16_t b) { return float_of((uint32_t)b << 16); });
}

extern "C" __global__ void embed_f32(float* out, int64_t stride, const float* table, int64_t vocab, const int* ids, uint64_t* failed, int64_t op) {
  embed(out, stride, table, vocab, ids, failed, op, [](float f) { return f; });
}
