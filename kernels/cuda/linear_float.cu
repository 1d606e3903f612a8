// Linear and LinearAdd with float rows, for more than 8 tokens: out [T, Out] (+)=
// x · wᵀ, times wScale.
//
// Grid [T / 64, Out / 128]: a CTA of 8 warps does a tile of 64 tokens by 128 output
// channels, a warp 32 by 32 of it, in linear_float.h's order. cp.async brings runs
// of 64 inputs Stages - 1 ahead. Rows stand in shared memory as in memory, but pieces
// of 16 bytes are swizzled such that no load meets a bank twice.
//
// Each activation costs two mma of tf32, four times the time of one mma of float16:
// the price of float32 activations (linear_float.h).
//
// Dynamic shared memory: Stages · 64 · (256 + 2·bytes of 64 weights): 60 KiB (int4) to
// 96 KiB. Speed: unmeasured.
#include "linear_float.h"

const int tile_tokens = 64, tile_rows = 128, threads = 256;

// place is where a byte of a row's run stands: rows are as long as runs, and those that
// lanes read together do so from different banks.
template <int T> DEV int place(int row, int byte) {
  int p = byte / 16;
  p ^= T == F32 ? row % 8 : T == F16 || T == BF16 ? row % 2 * 4 : T == INT8 ? row / 2 % 2 * 2 : 0;
  return row * run_bytes(T) + p * 16 + byte % 16;
}

// fetch asks for one run of rows first.. of count: Rows of them, the last again and
// again behind the end.
template <int T, int Rows> DEV void fetch(char* shared, const uint8_t* from, int64_t rowBytes, int64_t first, int64_t count) {
  const int pieces = run_bytes(T) / 16;
#pragma unroll
  for (int i = threadIdx.x; i < Rows * pieces; i += threads) {
    int r = i / pieces, p = i % pieces;
    int64_t row = first + r < count ? first + r : count - 1;
    cp_async16(shared + place<T>(r, p * 16), from + row * rowBytes + p * 16);
  }
}

// lane_read reads lane t's words of a row's run.
template <int T> DEV void lane_read(uint32_t* w, const char* shared, int row, int t) {
  const int n = lane_words(T), each = n >= 8 ? 4 : 2;
#pragma unroll
  for (int i = 0; i < n; i += each) {
    const char* p = shared + place<T>(row, lane_at<T>(t, i));
    if (each == 4) {
      Words v = *(const Words*)p;
      for (int j = 0; j < 4; j++) w[i + j] = v.w[j];
    } else {
      uint64_t v = *(const uint64_t*)p;
      w[i] = (uint32_t)v, w[i + 1] = (uint32_t)(v >> 32);
    }
  }
}

template <int T, int Stages> DEV void tile(float* out, int64_t outStride, int64_t column, bool add, const float* x, int64_t tokens, int64_t depth, const uint8_t* w, const float* wScale, int64_t rows) {
  DYNAMIC_SMEM(char, shared);
  const int xBytes = tile_tokens * run_bytes(F32), stageBytes = xBytes + tile_rows * run_bytes(T);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  int64_t token0 = (int64_t)blockIdx.x * tile_tokens, row0 = (int64_t)blockIdx.y * tile_rows, runs = depth / run_inputs;
  int m = warp % 4 * 32, n = warp / 4 * 32; // of the warp in the tile: first row, first token
  auto ask = [&](int64_t r) {
    if (r < runs) {
      char* stage = shared + r % Stages * stageBytes;
      fetch<F32, tile_tokens>(stage, (const uint8_t*)(x + r * run_inputs), depth * 4, token0, tokens);
      fetch<T, tile_rows>(stage + xBytes, w + r * run_bytes(T), runs * run_bytes(T), row0, rows);
    }
    cp_async_commit();
  };
  float total[2][4][4] = {}, c[2][4][4] = {};
  for (int r = 0; r < Stages - 1; r++) ask(r);
  for (int64_t r = 0; r < runs; r++) {
    cp_async_wait<Stages - 2>();
    sync_block(); // run r is there, and nobody reads run r-1 any more
    ask(r + Stages - 1);
    const char* stage = shared + r % Stages * stageBytes;
    uint32_t raw[2][2][lane_words(T)];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int k = 0; k < 2; k++) lane_read<T>(raw[i][k], stage + xBytes, m + i * 16 + k * 8 + g, t);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      Rows8<T> a[2] = {{raw[0][0], raw[0][1], h}, {raw[1][0], raw[1][1], h}};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        int token = n + j * 8 + g, byte = h * 128 + t * 32;
        Words u = *(const Words*)(stage + place<F32>(token, byte)), v = *(const Words*)(stage + place<F32>(token, byte + 16));
        float b[8];
        for (int e = 0; e < 4; e++) b[e] = float_of(u.w[e]), b[4 + e] = float_of(v.w[e]);
        Parts p = parts_of(b);
        a[0].multiply(c[0][j], p);
        a[1].multiply(c[1][j], p);
      }
    }
    if ((r + 1) % (block_inputs / run_inputs) != 0 && r + 1 < runs) continue;
#pragma unroll
    for (int i = 0; i < 2 * 4 * 4; i++) (&total[0][0][0])[i] += (&c[0][0][0])[i], (&c[0][0][0])[i] = 0;
  }
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int64_t token = token0 + n + j * 8 + t * 2 + e % 2, row = row0 + m + i * 16 + g + e / 2 * 8;
        if (token < tokens && row < rows) store_float(out + token * outStride + column + row, total[i][j][e], wScale, row, add);
      }
}

#define PARAMETERS float *out, int64_t outStride, int64_t column, int64_t add, const float *x, int64_t tokens, int64_t depth, const uint8_t *w, const float *wScale, int64_t rows
#define ARGUMENTS out, outStride, column, add, x, tokens, depth, w, wScale, rows

extern "C" __global__ void __launch_bounds__(256) linear_f_int4_tile(PARAMETERS) { tile<INT4, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_int8_tile(PARAMETERS) { tile<INT8, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_float16_tile(PARAMETERS) { tile<F16, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_bfloat16_tile(PARAMETERS) { tile<BF16, 3>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256) linear_f_float32_tile(PARAMETERS) { tile<F32, 2>(ARGUMENTS); }
