// Linear and LinearAdd with float rows and weights of int4, int8, float16 or bfloat16,
// for up to 8 tokens: out [T, Σ Out] (+)= x · wᵀ, times the rows' scales. Memory's speed
// is what counts: each weight is read once.
//
// Grid [Σ Out / Rows]: a CTA of two warps does 16 output channels, of int4 32, of one
// weight for all tokens, a warp half of the inputs (linear_a16.h). cp.async brings its
// weights Stages - 1 runs ahead, to shared memory of its own: the warps meet only at the
// end. A lane reads token g's activations of the run after the one at hand from L1, where
// other warps have brought them, and rounds them there.
//
// Bytes under way: a warp has 7 runs of 2 KiB of 16-bit weights. 3.35 TB/s (H100) to 4.8
// (H200) times 800 ns are 20 to 29 KiB for each of 132 SMs, so two warps do: those of 2,100
// output channels; 4,096 give an SM 4. int8 has half of that, int4 15 runs of 1 KiB.
//
// Issue: in the time that an H200 needs to bring an SM 2 KiB, 99 clocks, that issues 396
// instructions; a run takes 107, of int8 127 for half the bytes, of int4 193, which is all
// that there are for its KiB.
//
// Shared memory: 32.5 KiB, int8 16.5, int4 33. Speed: unmeasured.
#include "linear_a16.h"

const int few_tokens = 8;

template <int T, int Rows, int Stages> DEV void few(const Linear& l, const float* x, int64_t tokens, int64_t depth, const Watch& watch) {
  const int wRow = row_bytes(T, run_inputs), stageBytes = Rows * wRow;
  SMEM(char, shared, 2 * Stages * stageBytes);
  SMEM(float, second, few_tokens * Rows); // the second half's sums
  int lane = threadIdx.x % 32, half = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  Share share = share_of<Rows>(l, blockIdx.x);
  int row0 = (int)share.row, rows = (int)share.w.rows, runs = (int)depth / run_inputs;
  int from = half ? first_half(depth) : 0, to = half ? runs : first_half(depth);
  char* ring = shared + half * Stages * stageBytes;
  Shared stages = shared_of(ring);
  Source<wRow, Rows, 32> w(lane, share.w.data, row0, rows, (int64_t)runs * wRow);
  auto ask = [&](int r) {
    if (r < to) w.ask(stages + r % Stages * stageBytes, r);
    cp_async_commit();
  };
  x += (g < tokens ? g : 0) * depth + t * 8; // sums of tokens past the end are not used
  Words next[4]; // of x
  auto load = [&](int r) {
#pragma unroll
    for (int i = 0; i < 4; i++) next[i] = load16(x + r * run_inputs + i / 2 * 32 + i % 2 * 4);
  };
  for (int s = 0; s < Stages - 1; s++) ask(from + s);
  if (from < to) load(from);
  float c[Rows / 8][4] = {};
  for (int r = from; r < to; r++) {
    uint32_t a[4][4] = {}; // of each product; there are no tokens 8 to 15
#pragma unroll
    for (int j = 0; j < 8; j++) a[j / 2][j % 2 * 2] = round_pair<T>(float_of(next[j / 2].w[j % 2 * 2]), float_of(next[j / 2].w[j % 2 * 2 + 1]));
    load(r + 1 < to ? r + 1 : r);
    cp_async_wait<Stages - 2>();
    sync_warp(); // run r is there, and no lane reads run r-1 any more
    ask(r + Stages - 1);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      uint32_t b[Rows / 8][4];
#pragma unroll
      for (int n = 0; n < Rows / 8; n++) widened<T, wRow>(b[n], ring + r % Stages * stageBytes, n * 8 + g, h, t);
#pragma unroll
      for (int k = 0; k < 2; k++)
#pragma unroll
        for (int n = 0; n < Rows / 8; n++) mma<T>(c[n], a[h * 2 + k], b[n] + k * 2);
    }
  }
  float* sums = second + g * Rows + t * 2;
  if (half == 1)
#pragma unroll
    for (int i = 0; i < Rows / 4; i++) sums[i / 2 * 8 + i % 2] = c[i / 2][i % 2];
  sync_block();
  if (half == 1 || g >= tokens) return;
#pragma unroll
  for (int i = 0; i < Rows / 4; i++) {
    int row = row0 + i / 2 * 8 + t * 2 + i % 2;
    if (row < rows) store_float(l, share, watch, g, row, c[i / 2][i % 2] + sums[i / 2 * 8 + i % 2]);
  }
}

#define PARAMETERS LINEAR_PARAMETERS, const float *x, int64_t tokens, int64_t depth, uint64_t *failed, int64_t op
#define ARGUMENTS LINEAR_ARGUMENTS, x, tokens, depth, Watch { failed, op }

extern "C" __global__ void __launch_bounds__(64) linear_w4a16_few(PARAMETERS) { few<INT4, 32, 16>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(64) linear_w8a16_few(PARAMETERS) { few<INT8, 16, 8>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(64) linear_f16_few(PARAMETERS) { few<F16, 16, 8>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(64) linear_bf16_few(PARAMETERS) { few<BF16, 16, 8>(ARGUMENTS); }
