// Linear and LinearAdd with int4 or int8 weights and integer rows, for more than 16
// tokens: out [T, Out] (+)= float32(Σ w·x) · (wScale·xScale).
//
// Grid [T / BM, Σ (Out / BN), splits], over the launch's weights (linear.h): a CTA
// does a tile of BM tokens by BN output channels, its warps WM by WN of it with
// mma.m16n8k32, over its share of the inputs, Step at a time, which cp.async brings
// Stages - 1 steps ahead. With gridDim.z > 1, where tiles are too few to fill the GPU,
// a tile's CTAs leave their sums in partial, and the last one adds them: integers, in
// any order. tickets [tiles] count the CTAs; they are zero before and after.
//
// Weights and activations as stored: a pack of 64 int4 inputs is what two mma want,
// low nibbles first (linear_int.h), so that a row's 32 bytes are loaded by ldmatrix as
// they are. Pieces of 16 bytes are swizzled such that neither cp.async nor ldmatrix
// meets a bank twice.
//
// What the sizes are for, on an H100 by published microbenchmarks: 132 SMs of 128 bytes
// of shared memory a cycle and 4,096 products of int8, of which mma.sync reaches 62 %,
// 2,540; L2 gives near 5.5 TB/s, memory 3.35, and a load takes near 1 µs under load.
//
//	tile32, tile64   Few tokens wait for memory. Rows of a step are whole sectors, 64
//	         bytes of int4, and Stages - 1 steps hold 40 KiB of weights, where an SM's
//	         share of memory's speed is 25 bytes a ns: one CTA is enough for an SM.
//	         128 channels share what is read of x: 64 tokens by 4,096 inputs by 4,096
//	         channels read 8 MiB of weights, and as much of x out of L2.
//	tile128  A step is 1 Mi products, 413 cycles. Warps of 32·64 sums read 4 KiB of it
//	         by ldmatrix; 8 of them, and cp.async's writes, are 44 KiB, 109 bytes a
//	         cycle. Warps of 64·32 would need 129. A warp issues near 140 instructions.
//	tile256  reads 16 KiB from L2 for 2 Mi products, tile128 12 KiB for 1 Mi: 2,048
//	         tokens by 4,096 by 4,096 need 268 MB, 49 µs, against 403 MB, 73 µs, where
//	         the products take 56 µs. 64·64 sums of a warp are 128 registers.
//
// Dynamic shared memory: Stages · Step · (BM + BN·Bits/8), 48 to 96 KiB. Speed: unmeasured.
#include "linear_int.h"
#include "stage.h"
#include "tickets.h"

template <int Bits, int BM, int BN, int WM, int WN, int Step, int Stages>
DEV void tile(const Linear& l, Words* partial, int* tickets, const int8_t* x, const float* xScale, int64_t tokens, int64_t depth) {
  const int warpsN = BN / WN, threads = BM / WM * warpsN * 32;
  const int aRow = Step, bRow = Step * Bits / 8, aBytes = BM * aRow, bBytes = BN * bRow;
  DYNAMIC_SMEM(uint8_t, dynamic);
  want_shared(Stages * (aBytes + bBytes));
  Shared stages = shared_of(dynamic);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Share share = share_of<BN>(l, blockIdx.y);
  int64_t m0 = (int64_t)blockIdx.x * BM;
  int m = warp / warpsN * WM, n = warp % warpsN * WN; // of the warp, in the tile
  int steps = (int)((depth + Step - 1) / Step), each = (steps + (int)gridDim.z - 1) / (int)gridDim.z;
  int from = (int)blockIdx.z * each, to = from + each < steps ? from + each : steps;

  Source<aRow, BM, threads> xs(threadIdx.x, (const uint8_t*)x, m0, tokens, depth);
  Source<bRow, BN, threads> ws(threadIdx.x, share.w.data, share.row, share.w.rows, depth * Bits / 8);
  auto ask = [&](int s, Shared stage) {
    if (s < to) xs.ask(stage, s), ws.ask(stage + aBytes, s);
    cp_async_commit();
  };
  int c[WM / 16][WN / 8][4] = {};
  for (int s = 0; s < Stages - 1; s++) ask(from + s, stages + s * (aBytes + bBytes));
  int slot = 0; // of step s
  for (int s = from; s < to; s++) {
    cp_async_wait<Stages - 2>();
    sync_block(); // step s is there, and nobody reads step s-1 any more
    ask(s + Stages - 1, stages + (slot == 0 ? Stages - 1 : slot - 1) * (aBytes + bBytes));
    Shared a = stages + slot * (aBytes + bBytes), b = a + aBytes;
    slot = slot == Stages - 1 ? 0 : slot + 1;
#pragma unroll
    for (int pack = 0; pack < Step / 64; pack++) {
      uint32_t fa[2][WM / 16][4]; // [k half]: rows 0-7 and 8-15 by inputs 0-15 and 16-31
#pragma unroll
      for (int k = 0; k < 2; k++)
#pragma unroll
        for (int i = 0; i < WM / 16; i++) ldmatrix_x4(fa[k][i], a + at<aRow>(m + lane % 16, pack * 4 + k * 2 + lane / 16) + i * 16 * aRow);
#pragma unroll
      for (int j = 0; j < WN / 8; j += 2) { // 16 output channels
        int row = n + lane / 16 * 8 + lane % 8, piece = lane / 8 % 2;
        Shared from = b + j * 8 * bRow;
        uint32_t fb[2][4]; // [k half]: channels 0-7 by inputs 0-15 and 16-31, then 8-15
        if (Bits == 4) {
          uint32_t packed[4];
          ldmatrix_x4(packed, from + at<bRow>(row, pack * 2 + piece));
#pragma unroll
          for (int i = 0; i < 4; i++) fb[0][i] = low4(packed[i]), fb[1][i] = high4(packed[i]);
        } else {
          ldmatrix_x4(fb[0], from + at<bRow>(row, pack * 4 + piece));
          ldmatrix_x4(fb[1], from + at<bRow>(row, pack * 4 + 2 + piece));
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
  }
  const int quads = WM / 16 * (WN / 8);
  if (gridDim.z > 1) { // partial [tiles, splits, quads, threads]
    int64_t tile = (int64_t)blockIdx.y * gridDim.x + blockIdx.x;
    partial += tile * gridDim.z * quads * threads + threadIdx.x;
    Words* mine = partial + (int64_t)blockIdx.z * quads * threads;
#pragma unroll
    for (int q = 0; q < quads; q++) {
      const int* sums = c[q / (WN / 8)][q % (WN / 8)];
      mine[q * threads] = {(uint32_t)sums[0], (uint32_t)sums[1], (uint32_t)sums[2], (uint32_t)sums[3]};
    }
    if (!last_of((int)gridDim.z, tickets + tile, (int*)dynamic)) return;
    for (int z = 0; z < (int)gridDim.z; z++) {
      if (z == (int)blockIdx.z) continue;
#pragma unroll
      for (int q = 0; q < quads; q++) {
        Words v = load16_fresh(partial + ((int64_t)z * quads + q) * threads);
        for (int e = 0; e < 4; e++) c[q / (WN / 8)][q % (WN / 8)][e] += (int)v.w[e];
      }
    }
  }
  // a token's outputs together: were each to be added by itself, a load would wait for
  // the store before it
  int64_t row = share.row + n + lane % 4 * 2;
  int left = (int)(share.w.rows - row); // rows from here on
  const int outputs = WN / 4;           // of a token: rows 0, 1, 8, 9, 16, ..
  float scale[outputs];
#pragma unroll
  for (int o = 0; o < outputs; o++) {
    int at = o / 2 * 8 + o % 2;
    scale[o] = at < left ? share.w.scale[row + at] : 0;
  }
#pragma unroll
  for (int h = 0; h < WM / 8; h++) {
    int64_t token = m0 + m + h * 8 + lane / 4;
    if (token >= tokens) break;
    float* to = l.out + token * l.stride + l.column + share.column + row;
    float y[outputs], old[outputs];
#pragma unroll
    for (int o = 0; o < outputs; o++) {
      int at = o / 2 * 8 + o % 2;
      if (l.add && at < left) old[o] = to[at];
    }
#pragma unroll
    for (int o = 0; o < outputs; o++) {
      int sum = c[h / 2][o / 2][h % 2 * 2 + o % 2];
      y[o] = scaled<Bits>(sum, scale[o], xScale[token]);
    }
#pragma unroll
    for (int o = 0; o < outputs; o++) {
      int at = o / 2 * 8 + o % 2;
      if (at < left) to[at] = l.add ? old[o] + y[o] : y[o];
    }
  }
}

#define PARAMETERS LINEAR_PARAMETERS, Words *partial, int *tickets, const int8_t *x, const float *xScale, int64_t tokens, int64_t depth
#define ARGUMENTS LINEAR_ARGUMENTS, partial, tickets, x, xScale, tokens, depth

extern "C" __global__ void __launch_bounds__(128) linear_w4_tile32(PARAMETERS) { tile<4, 32, 128, 32, 32, 128, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128) linear_w4_tile64(PARAMETERS) { tile<4, 64, 128, 32, 64, 128, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 2) linear_w4_tile128(PARAMETERS) { tile<4, 128, 128, 32, 64, 64, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w4_tile256(PARAMETERS) { tile<4, 128, 256, 64, 64, 64, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128) linear_w8_tile32(PARAMETERS) { tile<8, 32, 128, 32, 32, 128, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128) linear_w8_tile64(PARAMETERS) { tile<8, 64, 128, 32, 64, 128, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 2) linear_w8_tile128(PARAMETERS) { tile<8, 128, 128, 32, 64, 64, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_w8_tile256(PARAMETERS) { tile<8, 128, 256, 64, 64, 64, 4>(ARGUMENTS); }
