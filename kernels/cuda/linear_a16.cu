// Linear and LinearAdd with float rows and weights of int4, int8, float16 or bfloat16,
// for more than 8 tokens: out [T, Σ Out] (+)= x · wᵀ, times the rows' scales.
//
// linear_round_TYPE rounds the activations once, for all CTAs: x [T, stride] of 16 bits.
//
// linear_TYPE_BMxBN: grid [any]: CTAs take tiles of BM tokens by BN output channels of one
// weight in turn, a warp WM by WN of it, in linear_a16.h's order. cp.async brings Step
// inputs of each row, Stages - 1 steps ahead. With two splits, where tiles are too few to
// fill the GPU, a CTA takes one half of a tile's inputs and leaves its sums in left [tiles,
// 2, BM·BN]; the later of the two, by tickets [tiles], which are zero before and after, adds
// the other's. Else a CTA leaves the first half's sums in left [CTAs, BM·BN], which stays
// in L2, and takes them back at the end: two sets in registers would halve the tile.
//
// What bounds a tile, by computing: the tensor cores of an SM take 1,024 products a clock on
// an A100, and somewhat more by mma.sync on an H100, where wgmma takes 2,048. Shared memory
// has 128 bytes a clock, of which a warp of 64x64 reads 64 for so many products, one of 64x32
// 96. L2 has some 24 on an H100 (5.5 TB/s for 132 SMs): a tile of 128x256 takes 24, 128x128 32,
// 64x64 64. So the largest tile is the one for long prompts; the small ones are for few
// tokens, where memory bounds all and the weights under way count.
//
//	tile     warps    registers  shared: 16 bits, int8, int4  CTAs to an SM  weights under way, 16 bits
//	128x256  8 64x64  254        96, 96, 96 KiB               1              48 KiB
//	128x128  4 64x64  254        64, 72, 80                   2              2 · 24
//	64x64    4 32x32  151        80, 60, 50                   2              2 · 32
//	32x64    4 32x16  130        72, 48, 36                   3              3 · 40
//	16x64    4 16x16  108        60, 36, 24                   3              3 · 40
//
// Speed: unmeasured.
#include "linear_a16.h"
#include "tickets.h"

// Pair is a lane's sums of a token: neighbouring rows.
struct __attribute__((aligned(8))) Pair { float x, y; };

// Sums are a warp's, of WM tokens by WN rows: a lane has tokens g and g+8, rows 2t and 2t+1
// of each 16 by 8.
template <int WM, int WN> struct Sums {
  static constexpr int across = WN / 8;
  float c[WM / 16][across][4];

  DEV_MEMBER void clear() {
#pragma unroll
    for (int i = 0; i < WM / 16; i++)
#pragma unroll
      for (int j = 0; j < across; j++) c[i][j][0] = c[i][j][1] = c[i][j][2] = c[i][j][3] = 0;
  }

  // leave stores them in a thread's Words, apart from each other; take adds those to them.
  DEV_MEMBER void leave(Words* words, int apart) const {
#pragma unroll
    for (int i = 0; i < WM / 16; i++)
#pragma unroll
      for (int j = 0; j < across; j++) {
        const float* v = c[i][j];
        words[(i * across + j) * apart] = {bits_of(v[0]), bits_of(v[1]), bits_of(v[2]), bits_of(v[3])};
      }
  }
  DEV_MEMBER void take(const Words* words, int apart) {
#pragma unroll
    for (int i = 0; i < WM / 16; i++)
#pragma unroll
      for (int j = 0; j < across; j++) {
        Words v = load16_fresh(words + (i * across + j) * apart);
        for (int e = 0; e < 4; e++) c[i][j][e] = float_of(v.w[e]) + c[i][j][e];
      }
  }

  // multiply adds the products of Step inputs of tokens from m and rows from n on.
  template <int T, int Step> DEV_MEMBER void multiply(Shared x, const char* w, int m, int n, int lane) {
    const int xRow = Step * 2, wRow = row_bytes(T, Step);
#pragma unroll 1
    for (int h = 0; h < Step / 32; h++) {
      uint32_t b[across][4];
#pragma unroll
      for (int j = 0; j < across; j++) widened<T, wRow>(b[j], w, n + j * 8 + lane / 4, h, lane % 4);
#pragma unroll
      for (int i = 0; i < WM / 16; i++)
#pragma unroll
        for (int k = 0; k < 2; k++) {
          uint32_t a[4];
          ldmatrix_x4(a, x + at<xRow>(m + i * 16 + lane % 16, h * 4 + k * 2 + lane / 16));
#pragma unroll
          for (int j = 0; j < across; j++) mma<T>(c[i][j], a, b[j] + 2 * k);
        }
    }
  }

  // store writes the sums of tokens from token0 and rows from row0 on. They pass through
  // shared, 16 tokens at a time, so that lanes write neighbouring outputs of a token; a
  // token is 8 banks from the one before.
  static constexpr int width = WN + 8, some = 8;
  DEV_MEMBER void store(float* shared, const Linear& l, const Share& share, const Watch& watch, int token0, int tokens, int row0, int lane) const {
#pragma unroll
    for (int i = 0; i < WM / 16; i++) {
      sync_warp(); // the 16 tokens before were read
#pragma unroll
      for (int j = 0; j < across; j++)
        for (int e = 0; e < 2; e++) *(Pair*)(shared + (lane / 4 + e * 8) * width + j * 8 + lane % 4 * 2) = {c[i][j][2 * e], c[i][j][2 * e + 1]};
      sync_warp();
#pragma unroll 1
      for (int q = 0; q < WN / 2; q += some) {
        auto each = [&](auto f) {
#pragma unroll
          for (int k = 0; k < some; k++) {
            int p = (q + k) * 32 + lane, token = token0 + i * 16 + p / WN, row = row0 + p % WN;
            if (token < tokens && row < (int)share.w.rows) f(k, token, row, shared[p / WN * width + p % WN]);
          }
        };
        float before[some]; // loaded together
        if (l.add) each([&](int k, int token, int row, float) { before[k] = *output(l, share, token, row); });
        each([&](int k, int token, int row, float sum) {
          float y = finish(share, watch, token, row, sum);
          *output(l, share, token, row) = l.add ? before[k] + y : y;
        });
      }
    }
  }
};

template <int T, int BM, int BN, int WM, int WN, int Step, int Stages>
DEV void tiles(const Linear& l, Words* left, int* tickets, int64_t splits, const uint16_t* x, int64_t tokens, int64_t depth, const Watch& watch) {
  DYNAMIC_SMEM(char, shared);
  const int warpsN = BN / WN, threads = BM / WM * warpsN * 32, xRow = Step * 2, wRow = row_bytes(T, Step), stageBytes = BM * xRow + BN * wRow;
  want_shared(Stages * stageBytes);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, m = warp / warpsN * WM, n = warp % warpsN * WN;
  int steps = (int)depth / Step, middle = first_half(depth) * (run_inputs / Step);
  int across = (int)(tokens + BM - 1) / BM, count = across * (int)ctas<BN>(l);
  for (int item = blockIdx.x; item < count * (int)splits; item += gridDim.x) {
    int half = item / count, tile = item % count;
    Share share = share_of<BN>(l, tile / across);
    int token0 = tile % across * BM, row0 = (int)share.row;
    int from = half ? middle : 0, to = half || splits == 1 ? steps : middle;
    Source<xRow, BM, threads> xs(threadIdx.x, (const uint8_t*)x, token0, tokens, depth * 2);
    Source<wRow, BN, threads> ws(threadIdx.x, share.w.data, row0, share.w.rows, depth / run_inputs * row_bytes(T, run_inputs));
    auto ask = [&](int s) {
      Shared stage = shared_of(shared) + s % Stages * stageBytes;
      if (s < to) xs.ask(stage, s), ws.ask(stage + BM * xRow, s);
      cp_async_commit();
    };
    auto left_by = [&](int64_t i) { return left + i * (BM * BN / 4) + threadIdx.x; };
    Sums<WM, WN> sums;
    sums.clear();
    sync_block(); // the tile before is stored
#pragma unroll 1
    for (int s = 0; s < Stages - 1; s++) ask(from + s);
#pragma unroll 1
    for (int s = from; s < to; s++) {
      cp_async_wait<Stages - 2>();
      sync_block(); // step s is there, and nobody reads step s-1 any more
      ask(s + Stages - 1);
      if (s == middle && splits == 1) sums.leave(left_by(blockIdx.x), threads), sums.clear();
      const char* stage = shared + s % Stages * stageBytes;
      sums.template multiply<T, Step>(shared_of(stage), stage + BM * xRow, m, n, lane);
    }
    if (splits == 2) {
      sums.leave(left_by(tile * 2 + half), threads);
      if (!last_of(2, tickets + tile, (int*)shared)) continue;
      sums.take(left_by(tile * 2 + 1 - half), threads);
    } else if (middle < steps) {
      sums.take(left_by(blockIdx.x), threads);
    }
    sync_block(); // nobody reads the last steps, or the ticket, any more
    sums.store((float*)shared + warp * 16 * sums.width, l, share, watch, token0 + m, (int)tokens, row0 + n, lane);
  }
}

#define PARAMETERS LINEAR_PARAMETERS, Words *left, int *tickets, int64_t splits, const uint16_t *x, int64_t tokens, int64_t depth, uint64_t *failed, int64_t op
#define ARGUMENTS LINEAR_ARGUMENTS, left, tickets, splits, x, tokens, depth, Watch { failed, op }

extern "C" __global__ void __launch_bounds__(256, 1) linear_f16_128x256(PARAMETERS) { tiles<F16, 128, 256, 64, 64, 32, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_f16_128x128(PARAMETERS) { tiles<F16, 128, 128, 64, 64, 32, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_f16_64x64(PARAMETERS) { tiles<F16, 64, 64, 32, 32, 64, 5>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_f16_32x64(PARAMETERS) { tiles<F16, 32, 64, 32, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_f16_16x64(PARAMETERS) { tiles<F16, 16, 64, 16, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 1) linear_bf16_128x256(PARAMETERS) { tiles<BF16, 128, 256, 64, 64, 32, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_bf16_128x128(PARAMETERS) { tiles<BF16, 128, 128, 64, 64, 32, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_bf16_64x64(PARAMETERS) { tiles<BF16, 64, 64, 32, 32, 64, 5>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_bf16_32x64(PARAMETERS) { tiles<BF16, 32, 64, 32, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_bf16_16x64(PARAMETERS) { tiles<BF16, 16, 64, 16, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 1) linear_w8a16_128x256(PARAMETERS) { tiles<INT8, 128, 256, 64, 64, 64, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_w8a16_128x128(PARAMETERS) { tiles<INT8, 128, 128, 64, 64, 64, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_w8a16_64x64(PARAMETERS) { tiles<INT8, 64, 64, 32, 32, 64, 5>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_w8a16_32x64(PARAMETERS) { tiles<INT8, 32, 64, 32, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_w8a16_16x64(PARAMETERS) { tiles<INT8, 16, 64, 16, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 1) linear_w4a16_128x256(PARAMETERS) { tiles<INT4, 128, 256, 64, 64, 64, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_w4a16_128x128(PARAMETERS) { tiles<INT4, 128, 128, 64, 64, 64, 4>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 2) linear_w4a16_64x64(PARAMETERS) { tiles<INT4, 64, 64, 32, 32, 64, 5>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_w4a16_32x64(PARAMETERS) { tiles<INT4, 32, 64, 32, 16, 64, 6>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(128, 3) linear_w4a16_16x64(PARAMETERS) { tiles<INT4, 16, 64, 16, 16, 64, 6>(ARGUMENTS); }

// linear_round_TYPE rounds n floats, whole runs, to TYPE, in pairs. Each 32 floats' are
// transposed, [4 lanes, 4 pairs] to [4, 4 lanes]: ldmatrix gives lane t the t-th word of each
// 16 bytes.
//
// Grid [n / (8 · blockDim)]; a thread does eight, a lane's in a product.
template <int T> DEV void round_floats(uint32_t* out, const float* x, int64_t n) {
  int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (i >= n) return;
  Words u = load16(x + i), v = load16(x + i + 4);
  out += i / 32 * 16 + i % 32 / 8;
#pragma unroll
  for (int j = 0; j < 2; j++) {
    out[4 * j] = round_pair<T>(float_of(u.w[2 * j]), float_of(u.w[2 * j + 1]));
    out[8 + 4 * j] = round_pair<T>(float_of(v.w[2 * j]), float_of(v.w[2 * j + 1]));
  }
}

extern "C" __global__ void linear_round_f16(uint32_t* out, const float* x, int64_t n) { round_floats<F16>(out, x, n); }
extern "C" __global__ void linear_round_bf16(uint32_t* out, const float* x, int64_t n) { round_floats<BF16>(out, x, n); }
