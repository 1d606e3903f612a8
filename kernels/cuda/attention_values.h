// Softmax over a split's scores, and the values added by their weights.
#pragma once
#include "attention_scores.h"

const int weight_max = (1 << 14) - 1; // of weights as integers, where values are
const float weight_tiny = 0x1p-100f;

// RowSum is what a row's integer sums stand for: unit·(Σ weight·nibble - offset).
struct RowSum {
  float unit;
  int offset;
};

// softmax turns a row of scores, its first n, a multiple of 32, into weights
// exp(s-m)·scale: floats, or with Ints integers 0..weight_max, p [2, split_tokens],
// the upper seven bits first. Sums are in eight lanes, added by sum8. A warp does a row.
template <bool Ints> DEV Part softmax(float* s, uint8_t* p, RowSum* row, int nibbleOffset, const float* scale, const float* zero, int n) {
  int lane = threadIdx.x % 32;
  int order = order_of((int)bits_of(minus_infinity()));
  for (int i = lane; i < n; i += 32) order = Max()(order, order_of((int)bits_of(s[i])));
  Part part;
  part.m = float_of((uint32_t)order_of(warp_reduce(order, Max())));
  for (int i = lane; i < n; i += 32) s[i] = exp_f32(s[i] - part.m);
  sync_warp();
  float sum = 0; // of lane % 8; lanes 8..15 sum up corrections
  for (int i = lane % 8; i < n; i += 32) {
    float e[4], z[4];
#pragma unroll
    for (int k = 0; k < 4; k++) e[k] = s[i + 8 * k], z[k] = zero[i + 8 * k];
#pragma unroll
    for (int k = 0; k < 4; k++) sum = lane / 8 == 1 ? fma_f32(e[k], z[k], sum) : sum + e[k];
  }
  sync_warp();
  sum = sum8(sum);
  float other = shfl_xor_f32(sum, 8);
  part.l = lane / 8 == 1 ? other : sum;
  part.c = lane / 8 == 1 ? sum : other;
  if (!Ints) return part; // scales are 1
  int top = 0; // weights are not negative: their bits order them
  for (int i = lane; i < n; i += 32) {
    s[i] = s[i] * scale[i];
    top = Max()(top, (int)bits_of(s[i]));
  }
  float heaviest = float_of((uint32_t)warp_reduce(top, Max()));
  float inverse = heaviest < weight_tiny ? 0 : div_f32((float)weight_max, heaviest);
  int total = 0;
  for (int i = lane; i < n; i += 32) {
    int w = (int)rint_f32(s[i] * inverse);
    p[i] = (uint8_t)(w >> 7), p[split_tokens + i] = (uint8_t)(w & 127);
    total += w;
  }
  total = warp_reduce(total, Sum());
  if (lane == 0) *row = {heaviest * (1.0f / weight_max), nibbleOffset * total};
  return part;
}

// add_values sets x [rows, dim] to Σ w·v by FMA, in order of the n values. A thread
// does one element of four rows at a time.
template <int Bits> DEV void add_values(float* x, const float* w, const Attention& a, const Tile& tile, int start, int n) {
  int dim = (int)a.dim;
  const int at_once = 4;
  int quads = (tile.rows + at_once - 1) / at_once;
  for (int i = threadIdx.x; i < quads * dim; i += attention_threads) {
    int d = i % dim, r0 = i / dim * at_once;
    float acc[at_once] = {};
    const float* weights[at_once]; // rows behind the last are the last
#pragma unroll
    for (int r = 0; r < at_once; r++) weights[r] = w + (r0 + r < tile.rows ? r0 + r : tile.rows - 1) * split_tokens;
    for (int from = 0; from < n; from += page_tokens) {
      int64_t page = tile.pages[(start + from) / page_tokens];
      const uint8_t* src = a.v.data + (page * a.kvHeads + tile.head) * page_tokens * (dim * Bits / 8);
      int count = n - from < page_tokens ? n - from : page_tokens;
      for (int t = 0; t < count; t++) {
        float v = Bits == 16 ? half_to_float(((const uint16_t*)src)[t * dim + d]) : ((const float*)src)[t * dim + d];
#pragma unroll
        for (int r = 0; r < at_once; r++) acc[r] = fma_f32(weights[r][from + t], v, acc[r]);
      }
    }
#pragma unroll
    for (int r = 0; r < at_once; r++)
      if (r0 + r < tile.rows) x[(r0 + r) * dim + d] = acc[r];
  }
}

// transpose4 turns four words of bytes into those of byte 0 of each, of byte 1, ...
DEV void transpose4(uint32_t* x) {
  uint32_t a = byte_perm(x[0], x[1], 0x5140), b = byte_perm(x[2], x[3], 0x5140);
  uint32_t c = byte_perm(x[0], x[1], 0x7362), d = byte_perm(x[2], x[3], 0x7362);
  x[0] = byte_perm(a, b, 0x5410), x[1] = byte_perm(a, b, 0x7632);
  x[2] = byte_perm(c, d, 0x5410), x[3] = byte_perm(c, d, 0x7632);
}

// add_ints adds Σ weight·v to x [rows, dim], integers as stored: nibbles 0..15, or
// int8. x was zero, and is to be read behind a barrier. p is [rows padded to 8, 2, split_tokens].
//
// A warp does 32 values as k of mma.m16n8k32: their elements are its rows, query rows
// its columns. A lane loads 8 bytes of each of 8 values; of the bytes j of four values
// a transposition makes an operand. Row g of the product is byte 8·piece + j of the
// vectors, its low nibbles, and row g+8 its high ones; with 8 bits that is the byte 64
// further. Both planes of weights meet the same operand. Sums are below 2³⁰:
// weight_max·127·split_tokens.
template <int Bits, bool Whole> DEV void add_ints(int* x, const uint8_t* p, const Attention& a, const Tile& tile, int start, int n) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, dim = (int)a.dim, size = dim * Bits / 8;
  int from = warp * 32; // of the values, as many as a warp does
  if (from >= n) return;
  const int high = 64; // bytes from row g to row g+8, with 8 bits
  int64_t page = tile.pages[(start + from) / page_tokens], offset = (start + from) % page_tokens;
  const uint8_t* src = a.v.data + ((page * a.kvHeads + tile.head) * page_tokens + offset + 4 * t) * size;
  for (int at = 8 * g; at - 8 * g < size; at += Bits == 8 ? 2 * high : high) {
    // words of values 4t.., 16+4t..: [k half][bytes 0-3, 4-7 of row g, of row g+8]
    uint32_t v[2][4][4];
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
      for (int w = 0; w < (Bits == 8 ? 4 : 2); w += 2) {
        int b = at + w / 2 * high;
#pragma unroll
        for (int i = 0; i < 4; i++) {
          uint32_t x[2] = {0, 0};
          const uint8_t* row = src + (16 * h + i) * size;
          if (Whole && b < size) load8(x, row + b);
          if (!Whole) x[0] = row4(row, b, size), x[1] = row4(row, b + 4, size);
          v[h][w][i] = x[0], v[h][w + 1][i] = x[1];
        }
        transpose4(v[h][w]);
        transpose4(v[h][w + 1]);
      }
#pragma unroll
    for (int j = 0; j < 8; j++) {
      uint32_t y[4];
#pragma unroll
      for (int h = 0; h < 2; h++) {
        uint32_t w = v[h][j / 4][j % 4];
        y[2 * h] = Bits == 4 ? w & 0x0f0f0f0f : w;
        y[2 * h + 1] = Bits == 4 ? w >> 4 & 0x0f0f0f0f : v[h][2 + j / 4][j % 4];
      }
      for (int n0 = 0; n0 < tile.rows; n0 += 8) {
        const uint8_t* weights = p + (n0 + g) * 2 * split_tokens + from + 4 * t;
        uint32_t upper[2] = {*(const uint32_t*)weights, *(const uint32_t*)(weights + 16)};
        uint32_t lower[2] = {*(const uint32_t*)(weights + split_tokens), *(const uint32_t*)(weights + split_tokens + 16)};
        int u[4] = {0, 0, 0, 0}, l[4] = {0, 0, 0, 0};
        mma_s8(u, y, upper);
        mma_s8(l, y, lower);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          int r = n0 + 2 * t + i % 2, b = at + j + (Bits == 8 ? i / 2 * high : 0);
          if (r < tile.rows && b < size) atomic_add_shared(&x[r * dim + b + (Bits == 4 ? i / 2 * size : 0)], (u[i] << 7) + l[i]);
        }
      }
    }
  }
}
