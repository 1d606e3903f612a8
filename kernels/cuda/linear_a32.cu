// Linear and LinearAdd with float rows and float32 weights, for more than 8 tokens: out
// [T, Σ Out] (+)= x · wᵀ.
//
// Grid [T / 64, Σ Out / 128]: a CTA of 8 warps does a tile of 64 tokens by 128 output
// channels of one weight, a warp 32 by 32 of it, in linear_a32.h's order. cp.async brings
// the run of 64 inputs after the one at hand. Rows stand in shared memory as in memory,
// but pieces of 16 bytes are swizzled such that no load meets a bank twice.
//
// Dynamic shared memory: 2 · (64 + 128) · 256 bytes = 96 KiB. Speed: unmeasured.
#include "linear_a32.h"

const int tile_tokens = 64, tile_rows = 128, threads = 256, stages = 2;

// place is where a piece of 16 bytes of a row's run stands: a row fills all banks, and
// those that lanes read together do so in different orders.
DEV int place(int row, int piece) { return row * run_bytes + (piece ^ row % 8) * 16; }

// fetch asks for one run of rows first.. of count: Rows of them, the last again and
// again behind the end.
template <int Rows> DEV void fetch(char* shared, const uint8_t* from, int64_t rowBytes, int64_t first, int64_t count) {
  const int pieces = run_bytes / 16;
#pragma unroll
  for (int i = threadIdx.x; i < Rows * pieces; i += threads) {
    int r = i / pieces, p = i % pieces;
    int64_t row = first + r < count ? first + r : count - 1;
    cp_async16(shared + place(r, p), from + row * rowBytes + p * 16);
  }
}

// parts_at reads lane t's eight inputs of a row's half h.
DEV Parts parts_at(const char* shared, int row, int h, int t) {
  Words w[2] = {*(const Words*)(shared + place(row, h * 8 + t * 2)), *(const Words*)(shared + place(row, h * 8 + t * 2 + 1))};
  return Parts(w);
}

extern "C" __global__ void __launch_bounds__(256) linear_f32_tile(LINEAR_PARAMETERS, const float* x, int64_t tokens, int64_t depth, uint64_t* failed, int64_t op) {
  DYNAMIC_SMEM(char, shared);
  const int xBytes = tile_tokens * run_bytes, stageBytes = xBytes + tile_rows * run_bytes;
  want_shared(stages * stageBytes);
  Linear l = LINEAR_ARGUMENTS;
  Share share = share_of<tile_rows>(l, blockIdx.y);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  int64_t token0 = (int64_t)blockIdx.x * tile_tokens, runs = depth / run_inputs;
  int m = warp % 4 * 32, n = warp / 4 * 32; // of the warp in the tile: first row, first token
  auto ask = [&](int64_t r) {
    if (r < runs) {
      char* stage = shared + r % stages * stageBytes;
      fetch<tile_tokens>(stage, (const uint8_t*)(x + r * run_inputs), depth * 4, token0, tokens);
      fetch<tile_rows>(stage + xBytes, share.w.data + r * run_bytes, runs * run_bytes, share.row, share.w.rows);
    }
    cp_async_commit();
  };
  float total[2][4][4] = {}, c[2][4][4] = {};
  ask(0);
  for (int64_t r = 0; r < runs; r++) {
    cp_async_wait<0>();
    sync_block(); // run r is there, and nobody reads run r-1 any more
    ask(r + 1);
    const char* stage = shared + r % stages * stageBytes;
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        Parts upper = parts_at(stage + xBytes, m + i * 16 + g, h, t), lower = parts_at(stage + xBytes, m + i * 16 + 8 + g, h, t);
#pragma unroll
        for (int j = 0; j < 4; j++) multiply(c[i][j], upper, lower, parts_at(stage, n + j * 8 + g, h, t));
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
        int64_t token = token0 + n + j * 8 + t * 2 + e % 2, row = share.row + m + i * 16 + g + e / 2 * 8;
        if (token < tokens && row < share.w.rows) store_float(l, share, {failed, op}, token, row, total[i][j][e]);
      }
}
