// Linear and LinearAdd with int4 or int8 weights and integer rows, for more than 32
// tokens: out [T, Out] (+)= float32(Σ w·x) · (wScale·xScale).
//
// Grid [T / BM, Σ (Out / BN), splits], over the launch's weights (linear.h): a CTA
// does a tile of BM tokens by BN output channels, its warps WM by WN of it with
// mma.m16n8k32, over its share of the inputs, 64 at a time, which cp.async brings
// Stages - 1 steps ahead. With gridDim.z > 1 it leaves sums [splits, T, Σ Out] in
// partial for linear_int_merge: where tiles are too few to fill the GPU.
//
// Weights and activations as stored: a pack of 64 int4 inputs is what two mma want,
// low nibbles first (linear_int.h), so that a row's 32 bytes are loaded by ldmatrix as
// they are. Pieces of 16 bytes are swizzled such that neither cp.async nor ldmatrix
// meets a bank twice.
//
// Shared memory: 48 KiB for tiles of 128, 24 (int4) or 32 KiB for tiles of 64.
// Speed: unmeasured.
#include "linear_int.h"

const int step = 64; // inputs

// Stage is one step's operands in shared memory: rows of 64 bytes, or 32 of int4.
template <int Bits> DEV int at(int row, int piece) {
  return Bits == 4 ? row * 32 + (piece ^ (row >> 2 & 1)) * 16 : row * 64 + (piece ^ (row >> 1 & 3)) * 16;
}

// fetch asks for one step of rows first.. of count: Rows of them, the last again and
// again behind the end.
template <int Bits, int Rows, int Threads> DEV void fetch(uint8_t* shared, const uint8_t* from, int64_t rowBytes, int64_t first, int64_t count) {
  const int pieces = step * Bits / 8 / 16;
#pragma unroll
  for (int i = threadIdx.x; i < Rows * pieces; i += Threads) {
    int r = i / pieces, p = i % pieces;
    int64_t row = first + r < count ? first + r : count - 1;
    cp_async16(shared + at<Bits>(r, p), from + row * rowBytes + p * 16);
  }
}

template <int Bits, int BM, int BN, int WM, int WN, int Stages>
DEV void tile(const Linear& l, int* partial, const int8_t* x, const float* xScale, int64_t tokens, int64_t depth) {
  const int warpsN = BN / WN, threads = BM / WM * warpsN * 32, aBytes = BM * step, bBytes = BN * step * Bits / 8;
  SMEM(uint8_t, shared, Stages * (aBytes + bBytes));
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Share share = share_of<BN>(l, blockIdx.y);
  int64_t m0 = (int64_t)blockIdx.x * BM, n0 = share.row, rows = share.w.rows, rowBytes = depth * Bits / 8;
  int m = warp / warpsN * WM, n = warp % warpsN * WN; // of the warp, in the tile
  int64_t steps = depth / step, each = (steps + gridDim.z - 1) / gridDim.z;
  int64_t from = blockIdx.z * each, to = from + each < steps ? from + each : steps;

  auto ask = [&](int64_t s) {
    if (s < to) {
      uint8_t* stage = shared + s % Stages * (aBytes + bBytes);
      fetch<8, BM, threads>(stage, (const uint8_t*)x + s * step, depth, m0, tokens);
      fetch<Bits, BN, threads>(stage + aBytes, share.w.data + s * (step * Bits / 8), rowBytes, n0, rows);
    }
    cp_async_commit();
  };
  int c[WM / 16][WN / 8][4] = {};
  for (int s = 0; s < Stages - 1; s++) ask(from + s);
  for (int64_t s = from; s < to; s++) {
    cp_async_wait<Stages - 2>();
    sync_block(); // step s is there, and nobody reads step s-1 any more
    ask(s + Stages - 1);
    const uint8_t* a = shared + s % Stages * (aBytes + bBytes);
    const uint8_t* b = a + aBytes;
    uint32_t fa[2][WM / 16][4]; // [k half]: rows 0-7 and 8-15 by inputs 0-15 and 16-31
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
      for (int i = 0; i < WM / 16; i++) ldmatrix_x4(fa[k][i], a + at<8>(m + i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
    for (int j = 0; j < WN / 8; j += 2) { // 16 output channels
      int row = n + j * 8 + lane / 16 * 8 + lane % 8, piece = lane / 8 % 2;
      uint32_t fb[2][4]; // [k half]: channels 0-7 by inputs 0-15 and 16-31, then 8-15
      if (Bits == 4) {
        uint32_t packed[4];
        ldmatrix_x4(packed, b + at<4>(row, piece));
#pragma unroll
        for (int i = 0; i < 4; i++) fb[0][i] = low4(packed[i]), fb[1][i] = high4(packed[i]);
      } else {
        ldmatrix_x4(fb[0], b + at<8>(row, piece));
        ldmatrix_x4(fb[1], b + at<8>(row, 2 + piece));
      }
#pragma unroll
      for (int k = 0; k < 2; k++)
#pragma unroll
        for (int i = 0; i < WM / 16; i++) {
          mma_s8(c[i][j], fa[k][i], fb[k]);
          mma_s8(c[i][j + 1], fa[k][i], fb[k] + 2);
        }
    }
  }
#pragma unroll
  for (int i = 0; i < WM / 16; i++)
#pragma unroll
    for (int j = 0; j < WN / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int64_t token = m0 + m + i * 16 + lane / 4 + e / 2 * 8, row = n0 + n + j * 8 + lane % 4 * 2 + e % 2;
        if (token >= tokens || row >= rows) continue;
        int sum = Bits == 4 ? c[i][j][e] >> int4_shift : c[i][j][e];
        if (gridDim.z > 1) {
          partial[(blockIdx.z * tokens + token) * l.rows() + share.column + row] = sum;
        } else {
          store_linear(l, share, token, row, sum, xScale);
        }
      }
}

#define PARAMETERS LINEAR_PARAMETERS, int *partial, const int8_t *x, const float *xScale, int64_t tokens, int64_t depth
#define ARGUMENTS LINEAR_ARGUMENTS, partial, x, xScale, tokens, depth

extern "C" __global__ void __launch_bounds__(256) linear_w4_tile128(PARAMETERS) { tile<4, 128, 128, 64, 32, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128) linear_w4_tile64(PARAMETERS) { tile<4, 64, 64, 32, 32, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_tile128(PARAMETERS) { tile<8, 128, 128, 64, 32, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128) linear_w8_tile64(PARAMETERS) { tile<8, 64, 64, 32, 32, 4>(ARGUMENTS); }

// linear_int_merge adds the splits' sums [splits, T, Σ Out].
//
// Grid [Σ Out / blockDim, T]; a thread does one output.
extern "C" __global__ void linear_int_merge(LINEAR_PARAMETERS, const int* partial, int64_t splits, const float* xScale) {
  Linear l = LINEAR_ARGUMENTS;
  int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, token = blockIdx.y, tokens = gridDim.y;
  if (i >= l.rows()) return;
  int sum = 0;
  for (int64_t s = 0; s < splits; s++) sum += partial[(s * tokens + token) * l.rows() + i];
  Share share = share_of<1>(l, i);
  store_linear(l, share, token, share.row, sum, xScale);
}
