// Linear and LinearAdd with float rows, for up to 8 tokens: out [T, Out] (+)= x · wᵀ,
// times wScale. Memory's speed is what counts: each weight is read once.
//
// Grid [Out / 16]: a CTA of 8 warps does 16 output channels for all tokens, 8 blocks
// of 256 inputs a round, one a warp; then its threads, one an output, add the blocks'
// sums in order (linear_float.h). A lane loads its words of two rows
// straight to registers, and activations, which all CTAs share, from L1.
//
// Shared memory: 8 KiB. Speed: unmeasured.
#include "linear_float.h"

const int warps = 8;

// lane_load loads lane t's words of a row's run.
template <int T> DEV void lane_load(uint32_t* w, const uint8_t* run, int t) {
  const int n = lane_words(T), each = n >= 8 ? 4 : 2;
#pragma unroll
  for (int i = 0; i < n; i += each) {
    const uint8_t* p = run + lane_at<T>(t, i);
    if (each == 4) {
      Words v = load_once(p);
      for (int j = 0; j < 4; j++) w[i + j] = v.w[j];
    } else {
      w[i] = load4(p), w[i + 1] = load4(p + 4);
    }
  }
}

template <int T> DEV void few(float* out, int64_t outStride, int64_t column, bool add, const float* x, int64_t tokens, int64_t depth, const uint8_t* w, const float* wScale, int64_t rows) {
  const int size = 16 * 8; // outputs
  SMEM(float, sums, 2 * warps * size); // of a round and the one before, [warps, tokens, rows]
  int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  int64_t row0 = (int64_t)blockIdx.x * 16, runs = depth / run_inputs;
  const int perBlock = block_inputs / run_inputs;
  const uint8_t* wRow[2];
  for (int r = 0; r < 2; r++) { // rows past the end are the last; their sums are not used
    int64_t row = row0 + r * 8 + g;
    wRow[r] = w + (row < rows ? row : rows - 1) * runs * run_bytes(T);
  }
  x += (g < tokens ? g : tokens - 1) * depth;
  int64_t blocks = (runs + perBlock - 1) / perBlock;
  float total = 0;
  for (int64_t round = 0; round * warps < blocks; round++) {
    int64_t from = (round * warps + warp) * perBlock, to = from + perBlock < runs ? from + perBlock : runs;
    float c[4] = {};
    uint32_t raw[perBlock][2][lane_words(T)];
#pragma unroll
    for (int i = 0; i < perBlock; i++)
      if (from + i < to)
        for (int r = 0; r < 2; r++) lane_load<T>(raw[i][r], wRow[r] + (from + i) * run_bytes(T), t);
#pragma unroll
    for (int i = 0; i < perBlock; i++) {
      if (from + i >= to) break;
#pragma unroll
      for (int h = 0; h < 2; h++) {
        Rows8<T> a(raw[i][0], raw[i][1], h);
        const float* p = x + (from + i) * run_inputs + h * 32 + t * 8;
        Words u = load16(p), v = load16(p + 4);
        float b[8];
        for (int j = 0; j < 4; j++) b[j] = float_of(u.w[j]), b[4 + j] = float_of(v.w[j]);
        a.multiply(c, parts_of(b));
      }
    }
    float* s = sums + round % 2 * warps * size;
    for (int i = 0; i < 4; i++) s[warp * size + (t * 2 + i % 2) * 16 + g + i / 2 * 8] = c[i];
    sync_block();
    if (thread < size)
      for (int k = 0; k < warps && round * warps + k < blocks; k++) total += s[k * size + thread];
  }
  int64_t token = thread / 16, row = row0 + thread % 16;
  if (thread < size && token < tokens && row < rows) store_float(out + token * outStride + column + row, total, wScale, row, add);
}

#define PARAMETERS float *out, int64_t outStride, int64_t column, int64_t add, const float *x, int64_t tokens, int64_t depth, const uint8_t *w, const float *wScale, int64_t rows
#define ARGUMENTS out, outStride, column, add, x, tokens, depth, w, wScale, rows

extern "C" __global__ void __launch_bounds__(256) linear_f_int4_few(PARAMETERS) { few<INT4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_int8_few(PARAMETERS) { few<INT8>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_float16_few(PARAMETERS) { few<F16>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_bfloat16_few(PARAMETERS) { few<BF16>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_float32_few(PARAMETERS) { few<F32>(ARGUMENTS); }
