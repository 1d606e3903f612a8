// Linear and LinearAdd with float rows and float32 weights, for up to 8 tokens: out
// [T, Σ Out] (+)= x · wᵀ. Memory's speed is what counts: each weight is read once.
//
// Grid [Σ Out / 16]: a CTA of 8 warps does 16 output channels of one weight for all
// tokens, 8 blocks of 256 inputs a round, one a warp; then its threads, one an output, add
// the blocks' sums in order (linear_a32.h). A lane loads its words of two rows straight
// to registers, and activations, which all CTAs share, from L1.
//
// Shared memory: 8 KiB. Speed: unmeasured.
#include "linear_a32.h"

const int warps = 8, few_rows = 16;

extern "C" __global__ void __launch_bounds__(256) linear_f32_few(LINEAR_PARAMETERS, const float* x, int64_t tokens, int64_t depth, uint64_t* failed, int64_t op) {
  const int size = few_rows * 8, perBlock = block_inputs / run_inputs;
  SMEM(float, sums, 2 * warps * size); // of a round and the one before, [warps, tokens, rows]
  Linear l = LINEAR_ARGUMENTS;
  Share share = share_of<few_rows>(l, blockIdx.x);
  int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  int64_t rows = share.w.rows, runs = depth / run_inputs, blocks = (runs + perBlock - 1) / perBlock;
  const uint8_t* w[2];
  for (int r = 0; r < 2; r++) { // rows past the end are the last; their sums are not used
    int64_t row = share.row + r * 8 + g;
    w[r] = share.w.data + (row < rows ? row : rows - 1) * runs * run_bytes + t * 32;
  }
  x += (g < tokens ? g : tokens - 1) * depth + t * 8;
  float total = 0;
  for (int64_t round = 0; round * warps < blocks; round++) {
    int64_t from = (round * warps + warp) * perBlock, to = from + perBlock < runs ? from + perBlock : runs;
    float c[4] = {};
    Words raw[perBlock][2][4]; // [runs, rows, words of 32-input halves]
#pragma unroll
    for (int i = 0; i < perBlock; i++)
      if (from + i < to)
        for (int r = 0; r < 2; r++)
          for (int j = 0; j < 4; j++) raw[i][r][j] = load_once(w[r] + (from + i) * run_bytes + j / 2 * 128 + j % 2 * 16);
#pragma unroll
    for (int i = 0; i < perBlock; i++) {
      if (from + i >= to) break;
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const float* p = x + (from + i) * run_inputs + h * 32;
        Words b[2] = {load16(p), load16(p + 4)};
        multiply(c, Parts(raw[i][0] + 2 * h), Parts(raw[i][1] + 2 * h), Parts(b));
      }
    }
    float* s = sums + round % 2 * warps * size;
    for (int i = 0; i < 4; i++) s[warp * size + (t * 2 + i % 2) * few_rows + g + i / 2 * 8] = c[i];
    sync_block();
    if (thread < size)
      for (int k = 0; k < warps && round * warps + k < blocks; k++) total += s[k * size + thread];
  }
  int64_t token = thread / few_rows, row = share.row + thread % few_rows;
  if (thread < size && token < tokens && row < rows) store_float(l, share, {failed, op}, token, row, total);
}
