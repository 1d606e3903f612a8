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
  int64_t pages, positions; // of the cache; that a sequence may have
  int64_t scheme, heads, kvHeads, dim;
  const float *cosines, *sines;
};

// Tile is some neighbouring queries of one sequence, times heads that share a KV head:
// row r is head first + r % heads of token + r / heads.
struct Tile {
  const int* pages; // of the sequence
  int64_t token;    // in the batch
  int tokens, rows;
  int position; // of the first token
  int head;     // KV head
  int first, heads;

  // seen is whether row r sees the key at a position.
  DEV_MEMBER bool seen(int r, int key) const { return key <= position + r / heads; }
  // row is row r's place among the batch's tokens and heads.
  DEV_MEMBER int64_t row(int r, int64_t all) const { return (token + r / heads) * all + first + r % heads; }
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

// Cut says how a batch's queries are cut in tiles: each sequence's tokens in runs of at
// most per, and the heads that share a KV head in runs of at most width.
struct Cut {
  const int *starts, *lens, *table; // kernels.Batch
  int64_t maxPages, sequences, per, width;
};

// find_tile returns the CTA's tile, of tokens x and heads y; rows is 0 where there is
// none. Sequence s has the tiles from starts[s]/per + s on, as many as its tokens need:
// the next one's are behind them. With per = 1 there are no gaps, tiles are tokens.
// All threads look; found is a word of shared memory.
DEV Tile find_tile(const Cut& c, int group, int* found) {
  int64_t i = blockIdx.x;
  auto first = [&](int64_t s) { return c.per == 1 ? c.starts[s] : c.starts[s] / c.per + s; };
  for (int64_t s = threadIdx.x; s < c.sequences; s += blockDim.x)
    if (first(s) <= i && (s + 1 == c.sequences || i < first(s + 1))) *found = (int)s;
  sync_block();
  int64_t s = *found, end = c.starts[s + 1], token = c.starts[s] + (i - first(s)) * c.per;
  int width = (int)c.width, runs = (group + width - 1) / width, from = (int)blockIdx.y % runs * width;
  Tile t = {c.table + s * c.maxPages, token, 0, 0, (int)(c.lens[s] - end + token), (int)blockIdx.y / runs};
  if (token >= end) return t;
  t.first = t.head * group + from, t.heads = group - from < width ? group - from : width;
  t.tokens = (int)(end - token < c.per ? end - token : c.per);
  t.rows = t.tokens * t.heads;
  return t;
}
