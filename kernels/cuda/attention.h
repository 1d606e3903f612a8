// What attention's parts share: arguments, tiles, and the arithmetic of merging.
#pragma once
#include "fp.h"
#include "kv.h"
#include "reduce.h"

const int split_tokens = 256; // positions whose softmax is one piece
const int attention_threads = 256;
const int attention_warps = attention_threads / 32;

// Cache is one layer's K or V (kernels.KVCache).
struct Cache {
  const uint8_t* data;
  const uint16_t *scale, *zero;
};

// Attention holds a kernel's arguments.
struct Attention {
  const int8_t* q;
  const float* qScale;
  const int* qSum;
  const float* qFloats;
  Cache k, v;
  int64_t scheme, heads, kvHeads, dim;
  const float *cosines, *sines;

  DEV_MEMBER int group() const { return (int)(heads / kvHeads); }
};

// Tile is some neighbouring queries of one sequence, times the heads of one KV head:
// row r is head head·group + r % group of token + r / group.
struct Tile {
  const int* pages; // of the sequence
  int64_t token;    // in the batch
  int tokens, rows;
  int position; // of the first token
  int head;     // KV head
};

// Part is what a row saw of a split, beside its values: maximum, sum, and the
// values' correction by their zero points.
struct Part { float m, l, c; };

// Merge adds a split to what a row saw before: o = fma(o, a, (part + c)·b).
struct Merge {
  float a, b, c;
  DEV_MEMBER float operator()(float o, float part) const { return fma_f32(o, a, (part + c) * b); }
};

// merge adds a split to a row's maximum and sum.
DEV Merge merge(Part* sum, Part split) {
  float top = sum->m > split.m ? sum->m : split.m;
  Merge w = {exp_f32(sum->m - top), exp_f32(split.m - top), split.c};
  sum->l = fma_f32(sum->l, w.a, split.l * w.b);
  sum->m = top;
  return w;
}

DEV float minus_infinity() { return float_of(0xff800000); }

// quotient is a row's result, no negative zero.
DEV float quotient(float o, float l) { return div_f32(o, l) + 0.0f; }

// find_tile returns tile i of those that cut each sequence's tokens in runs of at
// most per; rows is 0 where there is none. Sequence s has the tiles from
// starts[s]/per + s on, as many as its tokens need: the next one's are behind them.
// With per = 1 there are no gaps, tiles are tokens. All threads of a CTA look.
DEV Tile find_tile(int64_t i, int64_t per, const int* starts, const int* lens, const int* table, int64_t maxPages, int64_t sequences, int group) {
  SMEM(int, found, 1);
  auto first = [&](int64_t s) { return per == 1 ? starts[s] : starts[s] / per + s; };
  for (int64_t s = threadIdx.x; s < sequences; s += blockDim.x)
    if (first(s) <= i && (s + 1 == sequences || i < first(s + 1))) found[0] = (int)s;
  sync_block();
  int64_t s = found[0], end = starts[s + 1], token = starts[s] + (i - first(s)) * per;
  Tile t = {table + s * maxPages, token, 0, 0, (int)(lens[s] - end + token), (int)blockIdx.y};
  if (token >= end) return t;
  t.tokens = (int)(end - token < per ? end - token : per);
  t.rows = t.tokens * group;
  return t;
}
