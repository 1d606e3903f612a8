// Scores of a tile's rows with the keys of a split, s [rows, split_tokens].
#pragma once
#include "attention.h"

// QueryRow is what an integer score needs of a query beside its values.
struct QueryRow { float bias, sum, scale; };

// four_of reads the elements i to i+3 of a stored vector as floats: the integers
// as they are. i and dim/2 are multiples of 4.
template <int Bits> DEV void four_of(float* x, const uint8_t* src, int i, int dim, float off) {
  if (Bits == 4) {
    int half = dim / 2;
    uint32_t w = load4(src + (i < half ? i : i - half));
    if (i >= half) w >>= 4;
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = (float)(int)(w >> 8 * j & 15) - off;
  } else if (Bits == 8) {
    uint32_t w = load4(src + i);
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = (float)(int8_t)(w >> 8 * j);
  } else if (Bits == 16) {
    uint32_t w[2];
    load8(w, src + 2 * i);
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = half_to_float((uint16_t)(w[j / 2] >> 16 * (j % 2)));
  } else {
    Words v = load16(src + 4 * i);
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = float_of(v.w[j]);
  }
}

// element_of reads one element.
template <int Bits> DEV float element_of(const uint8_t* src, int i, int dim, float off) {
  if (Bits == 4) return (float)(i < dim / 2 ? src[i] & 15 : src[i - dim / 2] >> 4) - off;
  if (Bits == 8) return (float)(int8_t)src[i];
  return Bits == 16 ? half_to_float(((const uint16_t*)src)[i]) : ((const float*)src)[i];
}

// KeyReader reads one key as floats: quant.KV.KVLoad, rotated where it is stored
// before RoPE.
template <int Bits> struct KeyReader {
  const uint8_t* src;
  int dim;
  float scale, zero, off;
  const float *cosines, *sines; // of its position; null where it is not to be rotated

  DEV_MEMBER void four(float* x, int i) const {
    four_of<Bits>(x, src, i, dim, off);
    if (Bits > 8) return;
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = x[j] * scale + zero;
  }
  DEV_MEMBER void read(float* x, int i) const {
    if (Bits > 8 || !cosines) {
      four(x, i);
      return;
    }
    int half = dim / 2, at = i % half;
    float a[4], b[4];
    four(a, at);
    four(b, at + half);
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = rotated(a[j], b[j], at + j, i < half);
  }
  DEV_MEMBER float rotated(float a, float b, int i, bool lower) const {
    float c = cosines[i], s = sines[i];
    return lower ? a * c - b * s : b * c + a * s;
  }
  // one reads one element.
  DEV_MEMBER float one(int i) const {
    int half = dim / 2, other = i < half ? i + half : i - half;
    float x = element_of<Bits>(src, i, dim, off);
    if (Bits > 8) return x;
    x = x * scale + zero;
    if (!cosines) return x;
    float y = element_of<Bits>(src, other, dim, off) * scale + zero;
    return i < half ? rotated(x, y, i, true) : rotated(y, x, other, false);
  }
  // eight reads the elements i to i+7, zeros behind the last: one by one where vectors
  // may begin anywhere.
  DEV_MEMBER void eight(float* x, int i) const {
    if (dim % 8 == 0) {
      read(x, i);
      read(x + 4, i + 4);
      return;
    }
    for (int j = 0; j < 8; j++) x[j] = i + j < dim ? one(i + j) : 0;
  }
};

// query_floats is how many floats a float query takes in shared memory.
DEV int query_floats(int dim) { return (dim + 7) / 8 * 8; }

// scores_float: fp.Dot(k, q)·scale. A thread does one key, four rows at a time, each
// in fp.Dot's eight lanes. q [rows, query_floats] is in shared memory. Keys from n on
// give -∞.
template <int Bits> DEV void scores_float(float* s, const float* q, const Attention& a, const Tile& tile, int start, int n) {
  int key = threadIdx.x, dim = (int)a.dim, width = query_floats(dim);
  const int at_once = 4, lanes = 8;
  float scale = div_f32(1.0f, sqrt_f32((float)dim));
  if (key >= n) {
    for (int r = 0; r < tile.rows; r++) s[r * split_tokens + key] = minus_infinity();
    return;
  }
  int64_t page = tile.pages[(start + key) / page_tokens], offset = (start + key) % page_tokens;
  KeyReader<Bits> k = {a.k.data + ((page * a.kvHeads + tile.head) * page_tokens + offset) * (dim * Bits / 8), dim, 1, 0, 0, nullptr, nullptr};
  if (Bits <= 8) {
    int64_t groups = a.scheme == TOKEN ? 1 : a.kvHeads;
    int64_t at = (page * groups + (a.scheme == TOKEN ? 0 : tile.head)) * page_tokens + offset;
    k.scale = half_to_float(a.k.scale[at]);
    if (a.scheme == HEAD_ZP) {
      k.zero = half_to_float(a.k.zero[at]);
    } else {
      k.off = 8;
    }
    if (a.scheme == TOKEN) k.cosines = a.cosines + (int64_t)(start + key) * (dim / 2), k.sines = a.sines + (int64_t)(start + key) * (dim / 2);
  }
  for (int r0 = 0; r0 < tile.rows; r0 += at_once) {
    float acc[at_once][lanes] = {};
    for (int i = 0; i < dim; i += lanes) {
      float x[lanes];
      k.eight(x, i);
#pragma unroll
      for (int r = 0; r < at_once; r++) {
        if (r0 + r >= tile.rows) break;
        const float* y = q + (r0 + r) * width + i;
#pragma unroll
        for (int l = 0; l < lanes; l++) acc[r][l] = fma_f32(x[l], y[l], acc[r][l]);
      }
    }
#pragma unroll
    for (int r = 0; r < at_once; r++) {
      if (r0 + r >= tile.rows) break;
      float b0 = acc[r][0] + acc[r][4], b1 = acc[r][1] + acc[r][5], b2 = acc[r][2] + acc[r][6], b3 = acc[r][3] + acc[r][7];
      s[(r0 + r) * split_tokens + key] = tile.seen(r0 + r, start + key) ? ((b0 + b2) + (b1 + b3)) * scale : minus_infinity();
    }
  }
}

// plane is the number of bytes that the low, or high, elements of an integer query
// take in shared memory: those that meet a vector's low, or high, nibbles; all of
// them with 8 bits. It is padded to what four lanes read at once.
template <int Bits> DEV int query_plane(int dim) { return (dim * Bits / 8 + 63) / 64 * 64; }

// row4 loads 4 bytes of a row of size bytes from at on, which may begin anywhere: of
// the words that hold them. Behind the row's end is anything, but no other memory.
DEV uint32_t row4(const uint8_t* row, int at, int size) {
  if (at >= size) return 0;
  int by = (int)((uintptr_t)(row + at) % 4), left = size - at;
  const uint8_t* word = row + at - by;
  return byte_perm(load4(word), by + (left < 4 ? left : 4) > 4 ? load4(word + 4) : 0, 0x3210 + by * 0x1111);
}

// row16 loads 16 bytes; Whole says that size is a multiple.
template <bool Whole> DEV Words row16(const uint8_t* row, int at, int size) {
  if (Whole) return at < size ? load16(row + at) : Words{0, 0, 0, 0};
  Words v;
#pragma unroll
  for (int i = 0; i < 4; i++) v.w[i] = row4(row, at + 4 * i, size);
  return v;
}

// scores_int: fma(kzero, Σq, kscale·(Σq·k + bias))·scale, with keys of 4 or 8 bits
// and queries of 8. A warp does 16 keys at a time, as the rows of mma.m16n8k32, and
// eight query rows as its columns; a lane loads 16 bytes of two keys. q is
// [rows padded to 8, planes of query_plane bytes] in shared memory. Keys from n on
// give -∞, up to n padded to 32.
template <int Bits, bool Whole> DEV void scores_int(float* s, const int8_t* q, const QueryRow* rows, const Attention& a, const Tile& tile, int start, int n) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  int size = (int)a.dim * Bits / 8, plane = query_plane<Bits>((int)a.dim), qStride = plane * 8 / Bits;
  for (int first = warp * 16; first < (n + 31) / 32 * 32; first += attention_warps * 16) {
    bool any = first < n;
    int64_t page = any ? tile.pages[(start + first) / page_tokens] : 0, offset = (start + first) % page_tokens + g;
    const uint8_t* src = a.k.data + ((page * a.kvHeads + tile.head) * page_tokens + offset) * size;
    float scale[2], zero[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
      int64_t at = (page * a.kvHeads + tile.head) * page_tokens + offset + 8 * i;
      scale[i] = half_to_float(a.k.scale[at]);
      if (a.scheme == HEAD_ZP) zero[i] = half_to_float(a.k.zero[at]);
    }
    const int pieces = 256 * Bits / 8 / 64; // at most
    Words k[pieces][2];                     // this lane's bytes of two keys
#pragma unroll
    for (int p = 0; p < pieces; p++)
#pragma unroll
      for (int i = 0; i < 2; i++) k[p][i] = any ? row16<Whole>(src + i * 8 * size, p * 64 + t * 16, size) : Words{0, 0, 0, 0};
    for (int n0 = 0; n0 < tile.rows; n0 += 8) {
      int c[4] = {0, 0, 0, 0};
#pragma unroll
      for (int p = 0; p < pieces; p++) {
        if (p * 64 >= plane) break;
        const uint32_t* lo = (const uint32_t*)(q + (n0 + g) * qStride + p * 64 + t * 16);
        const uint32_t* hi = lo + plane / 4;
        const uint32_t *u = k[p][0].w, *v = k[p][1].w, m = 0x0f0f0f0f;
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          if (Bits == 8) {
            uint32_t all[4] = {u[i], v[i], u[i + 1], v[i + 1]};
            mma_s8(c, all, lo + i);
            continue;
          }
          uint32_t low[4] = {u[i] & m, v[i] & m, u[i + 1] & m, v[i + 1] & m};
          mma_s8(c, low, lo + i);
          uint32_t high[4] = {u[i] >> 4 & m, v[i] >> 4 & m, u[i + 1] >> 4 & m, v[i + 1] >> 4 & m};
          mma_s8(c, high, hi + i);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        int r = n0 + t * 2 + i % 2, key = first + g + i / 2 * 8;
        if (r >= tile.rows) continue;
        float x = scale[i / 2] * ((float)c[i] + rows[r].bias);
        x = fma_f32(zero[i / 2], rows[r].sum, x) * rows[r].scale;
        s[r * split_tokens + key] = tile.seen(r, start + key) ? x : minus_infinity();
      }
    }
  }
}
