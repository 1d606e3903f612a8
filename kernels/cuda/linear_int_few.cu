// Linear and LinearAdd with int4 or int8 weights and integer rows, for up to 16
// tokens: out [T, Out] (+)= float32(Σ w·x) · (wScale·xScale). Memory's speed is what
// counts: each weight is read once.
//
// Grid [Σ (Out / 16)], over the launch's weights (linear.h): a CTA of 8 warps does 16
// output channels for all tokens; each warp takes every eighth piece of 64 bytes of
// the rows, and the warps' sums are added at the end. The product is mma.m16n8k32 with
// weights as the 16 rows and tokens as the 8 columns: it costs no reduction over lanes
// and, with int4, three instructions for eight weights. Which k an input is does not
// matter to a sum: a lane takes 16 bytes of each of two rows, and the activations of
// the same inputs.
//
// cp.async brings them to where only this lane reads them, Stages pieces ahead, so no
// barrier is needed and nothing waits for activations apart from weights. Loads to
// registers would do as well, but ptxas put them off until the piece before was
// multiplied: one piece of a warp under way instead of four.
//
// Bytes under way: a CTA has 4 pieces · 8 warps · 1 KiB of weights = 32 KiB. An SM's
// share of 3.35 (4.8) TB/s over 132 SMs is 25 (36) bytes a ns, and a load under load
// takes near 1 µs: 25 (36) KiB. 4,096 channels are 256 CTAs, two an SM: 64 KiB.
// Issue: a warp's piece costs 75 instructions (int4, T <= 8), of the 4·50 cycles in
// which an SM of an H200 gets its KiB.
//
// linear_w4_8: T <= 8; linear_w4_16: T <= 16. w8 likewise. Weights and activations as
// stored. Dynamic shared memory: Stages · 4 KiB · words a lane has of a piece: 2 of
// weights and, for each 8 tokens, 2 (int4) or 1; the sums take the same place later.
// Speed: unmeasured.
#include "linear_int.h"

const int warps = 8, threads = warps * 32;
const int Stages = 4;

template <int Bits, int NT> DEV void few(const Linear& l, const int8_t* x, const float* xScale, int64_t tokens, int64_t depth) {
  const int each = Bits == 4 ? 2 : 1, words = 2 + NT * each; // of activations for 8 tokens; of a stage
  DYNAMIC_SMEM(Words, shared);
  want_shared(Stages * words * threads * sizeof(Words));
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  Share share = share_of<16>(l, blockIdx.x);
  int64_t rows = share.w.rows;
  int rowBytes = (int)depth * Bits / 8, pieces = (rowBytes + 63) / 64, count = (pieces - warp + warps - 1) / warps;
  const uint8_t* wRow[2];
  for (int r = 0; r < 2; r++) { // rows past the end are the last; their sums are not used
    int64_t row = share.row + r * 8 + g;
    wRow[r] = share.w.data + (row < rows ? row : rows - 1) * rowBytes;
  }
  const int8_t* xRow[NT];
  for (int n = 0; n < NT; n++) {
    int64_t token = n * 8 + g;
    xRow[n] = x + (token < tokens ? token : tokens - 1) * depth;
  }
  // ask for the warp's piece i. 64 bytes of int4 are two packs; half a pack is 16 inputs
  // in low nibbles, and those 32 further in high ones. Behind a row's end are zeros.
  const Words* mine = shared + threadIdx.x;
  Shared place = shared_of(mine);
  const int column = threads * sizeof(Words), stage = words * column;
  auto ask = [&](int i) {
    if (i < count) {
      Shared to = place + i % Stages * stage;
      int piece = i * warps + warp, at = piece * 64 + t * 16;
      for (int r = 0; r < 2; r++) cp_async16_if(to + r * column, wRow[r] + at, at < rowBytes);
      if (Bits == 4) at = piece * 128 + t / 2 * 64 + t % 2 * 16;
      for (int n = 0; n < NT; n++)
        for (int h = 0; h < each; h++) cp_async16_cached_if(to + (2 + n * each + h) * column, xRow[n] + at + h * 32, at < depth);
    }
    cp_async_commit();
  };
  int c[NT][4] = {};
  for (int i = 0; i < Stages - 1; i++) ask(i);
  for (int i = 0; i < count; i++) {
    sync_warp(); // piece i-1 was read: the emulator could do without
    ask(i + Stages - 1);
    cp_async_wait<Stages - 1>();
    const Words* from = mine + i % Stages * words * threads;
    Words u = from[0], v = from[threads];
#pragma unroll
    for (int n = 0; n < NT; n++) {
      Words b[each];
      for (int h = 0; h < each; h++) b[h] = from[(2 + n * each + h) * threads];
#pragma unroll
      for (int k = 0; k < 4; k += 2) {
        if (Bits == 8) {
          uint32_t w[4] = {u.w[k], v.w[k], u.w[k + 1], v.w[k + 1]};
          mma_s8(c[n], w, b[0].w + k);
        } else {
          uint32_t low[4] = {low4(u.w[k]), low4(v.w[k]), low4(u.w[k + 1]), low4(v.w[k + 1])};
          mma_s8(c[n], low, b[0].w + k);
          uint32_t high[4] = {high4(u.w[k]), high4(v.w[k]), high4(u.w[k + 1]), high4(v.w[k + 1])};
          mma_s8(c[n], high, b[each - 1].w + k);
        }
      }
    }
  }
  sync_block(); // all warps have read their last
  // sums [warps, tokens, width]: 16 rows, and 4 so that the lanes of a store meet all banks
  const int width = 20, size = NT * 8 * width;
  int* sums = (int*)shared;
  for (int n = 0; n < NT; n++)
    for (int i = 0; i < 4; i++) sums[warp * size + (n * 8 + t * 2 + i % 2) * width + g + i / 2 * 8] = c[n][i];
  sync_block();
  for (int i = threadIdx.x; i < NT * 8 * 16; i += threads) {
    int64_t token = i / 16, row = share.row + i % 16;
    if (token >= tokens || row >= rows) continue;
    int sum = 0;
    for (int k = 0; k < warps; k++) sum += sums[k * size + i / 16 * width + i % 16];
    float* to = l.out + token * l.stride + l.column + share.column + row;
    float y = scaled<Bits>(sum, share.w.scale[row], xScale[token]);
    *to = l.add ? *to + y : y;
  }
}

#define PARAMETERS LINEAR_PARAMETERS, const int8_t *x, const float *xScale, int64_t tokens, int64_t depth
#define ARGUMENTS LINEAR_ARGUMENTS, x, xScale, tokens, depth

extern "C" __global__ void __launch_bounds__(256) linear_w4_8(PARAMETERS) { few<4, 1>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w4_16(PARAMETERS) { few<4, 2>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_8(PARAMETERS) { few<8, 1>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_16(PARAMETERS) { few<8, 2>(ARGUMENTS); }
