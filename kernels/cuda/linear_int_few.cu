// Linear and LinearAdd with int4 or int8 weights and integer rows, for up to 32
// tokens: out [T, Out] (+)= float32(Σ w·x) · (wScale·xScale). Memory's speed is what
// counts: each weight is read once.
//
// Grid [Σ (Out / (16·RT))], over the launch's weights (linear.h): a CTA of 8 warps does
// 16·RT output channels for all tokens; each warp takes every eighth piece of 64 bytes
// of the rows, and the warps' sums are added at the end. The product is mma.m16n8k32 with weights as the 16 rows and
// tokens as the 8 columns: it costs no reduction over lanes and, with int4, two
// instructions for four weights. A lane reads 16 bytes of a row and the activations
// of the same inputs; which k an input is does not matter to a sum.
//
// linear_w4_8: T <= 8, RT = 1; linear_w4_16: T <= 16; linear_w4_32: T <= 32, RT = 2,
// where activations, from L2, are four times the weights' bytes. w8 likewise.
//
// Weights and activations as stored. Shared memory: 4, 8 and 32 KiB. Speed: unmeasured.
#include "linear_int.h"

const int warps = 8;
const int ahead = 4; // pieces whose weights a warp has under way

// row_words loads piece c of a row, this lane's 16 bytes, or zeros behind its end.
DEV Words row_words(const uint8_t* row, int64_t c, int64_t rowBytes, int t) {
  int64_t at = c * 64 + t * 16;
  return at < rowBytes ? load_once(row + at) : Words{0, 0, 0, 0};
}

template <int Bits, int RT, int NT>
DEV void few(const Linear& l, const int8_t* x, const float* xScale, int64_t tokens, int64_t depth) {
  SMEM(int, sums, warps * RT * 16 * NT * 8);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  Share share = share_of<16 * RT>(l, blockIdx.x);
  int64_t rows = share.w.rows, row0 = share.row, rowBytes = depth * Bits / 8, pieces = (rowBytes + 63) / 64;
  const uint8_t* wRow[2 * RT];
  for (int r = 0; r < 2 * RT; r++) { // rows past the end are the last; their sums are not used
    int64_t row = row0 + r * 8 + g;
    wRow[r] = share.w.data + (row < rows ? row : rows - 1) * rowBytes;
  }
  const int8_t* xRow[NT];
  for (int n = 0; n < NT; n++) {
    int64_t token = n * 8 + g;
    xRow[n] = x + (token < tokens ? token : tokens - 1) * depth;
  }
  int c[RT][NT][4] = {};
  for (int64_t from = warp; from < pieces; from += warps * ahead) {
    Words a[ahead][2 * RT];
#pragma unroll
    for (int i = 0; i < ahead; i++)
#pragma unroll
      for (int r = 0; r < 2 * RT; r++) a[i][r] = row_words(wRow[r], from + i * warps, rowBytes, t);
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      int64_t piece = from + i * warps;
      if (piece >= pieces) break;
#pragma unroll
      for (int n = 0; n < NT; n++) {
        if (Bits == 8) {
          Words b = load16(xRow[n] + piece * 64 + t * 16);
#pragma unroll
          for (int r = 0; r < RT; r++)
#pragma unroll
            for (int k = 0; k < 4; k += 2) {
              uint32_t wk[4] = {a[i][2 * r].w[k], a[i][2 * r + 1].w[k], a[i][2 * r].w[k + 1], a[i][2 * r + 1].w[k + 1]};
              mma_s8(c[r][n], wk, b.w + k);
            }
          continue;
        }
        // 64 bytes are two packs; half a pack is 16 inputs in low nibbles, and those
        // 32 further in high ones. An odd pack's second half reads zero weights.
        int64_t at = piece * 128 + t / 2 * 64 + t % 2 * 16;
        Words lo = {0, 0, 0, 0}, hi = lo;
        if (at < depth) lo = load16(xRow[n] + at), hi = load16(xRow[n] + at + 32);
#pragma unroll
        for (int r = 0; r < RT; r++)
#pragma unroll
          for (int k = 0; k < 4; k += 2) {
            const uint32_t *u = a[i][2 * r].w + k, *v = a[i][2 * r + 1].w + k;
            uint32_t low[4] = {low4(u[0]), low4(v[0]), low4(u[1]), low4(v[1])};
            mma_s8(c[r][n], low, lo.w + k);
            uint32_t high[4] = {high4(u[0]), high4(v[0]), high4(u[1]), high4(v[1])};
            mma_s8(c[r][n], high, hi.w + k);
          }
      }
    }
  }
  // sums [warps, tokens, rows]
  const int width = RT * 16, size = width * NT * 8;
  for (int r = 0; r < RT; r++)
    for (int n = 0; n < NT; n++)
      for (int i = 0; i < 4; i++) sums[warp * size + (n * 8 + t * 2 + i % 2) * width + r * 16 + g + i / 2 * 8] = c[r][n][i];
  sync_block();
  for (int i = threadIdx.x; i < size; i += warps * 32) {
    int64_t token = i / width, row = row0 + i % width;
    if (token >= tokens || row >= rows) continue;
    int sum = 0;
    for (int k = 0; k < warps; k++) sum += sums[k * size + i];
    store_linear(l, share, token, row, Bits == 4 ? sum >> int4_shift : sum, xScale);
  }
}

#define PARAMETERS LINEAR_PARAMETERS, const int8_t *x, const float *xScale, int64_t tokens, int64_t depth
#define ARGUMENTS LINEAR_ARGUMENTS, x, xScale, tokens, depth

extern "C" __global__ void __launch_bounds__(256) linear_w4_8(PARAMETERS) { few<4, 1, 1>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w4_16(PARAMETERS) { few<4, 1, 2>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w4_32(PARAMETERS) { few<4, 2, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_8(PARAMETERS) { few<8, 1, 1>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_16(PARAMETERS) { few<8, 1, 2>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_32(PARAMETERS) { few<8, 2, 4>(ARGUMENTS); }
