// RoPEAppendKV: splits qkv [T, (heads + 2·kvHeads)·dim], rotates q and k, quantizes
// and stores them and v: queries as rows [T·heads, dim], keys and values in the
// tokens' slots (quant.KV.KVScale and KVStore, or quant.Float16). Bit for bit the CPUs'.
//
// Grid [T, heads + 2·groups], groups = KV heads, or 1 where all share a scale: a CTA
// does one query head, or one group of keys or values, of one token; a thread does
// every blockDim-th pair of elements j, j + dim/2. It reads them twice, for the
// range and for the integers; what is not quantized, once more than needed. A token
// without a rotation or a slot fails as operator place, and stores nothing.
//
// Shared memory: 512 bytes. Speed: unmeasured.
#include "kv.h"
#include "rows.h"

struct Pair { float a, b; };

// Range is what a CTA's values lie in: the largest bits of |x|, the smallest and
// largest order_of.
struct Range {
  int abs, lo, hi;
  DEV_MEMBER void add(float x) {
    int b = (int)bits_of(x);
    abs = Max()(abs, b & 0x7fffffff), lo = Min()(lo, order_of(b)), hi = Max()(hi, order_of(b));
  }
};

// Scale is quant.KV.KVScale of lo..hi, whose |x| are at most max_f16.
struct Scale { uint16_t scale, zero; };
DEV Scale kv_scale(float lo, float hi, int64_t bits, int64_t scheme) {
  if (scheme != HEAD_ZP) {
    float m = 0;
    if (-lo > m) m = -lo;
    if (hi > m) m = hi;
    return {float_to_half(div_f32(m, bits == 4 ? 7 : 127)), 0};
  }
  if (bits == 4) {
    uint16_t zero = float_to_half(lo);
    float d = hi - half_to_float(zero);
    return {float_to_half(div_f32(d > 0 ? d : 0, 15)), zero};
  }
  uint16_t zero = float_to_half(lo / 2 + hi / 2);
  float z = half_to_float(zero), d = 0;
  if (hi - z > d) d = hi - z;
  if (z - lo > d) d = z - lo;
  return {float_to_half(div_f32(d, 127)), zero};
}

extern "C" __global__ void __launch_bounds__(1024) rope_append_kv(int64_t qBits, int8_t* q, float* qScale, int* qSum, float* qFloats, int64_t bits, int64_t scheme, int64_t pages, uint8_t* k, uint8_t* v, uint16_t* kScale, uint16_t* vScale, uint16_t* kZero, uint16_t* vZero, int64_t heads, int64_t kvHeads, int64_t dim, const float* qkv, int64_t stride, const int* positions, const int* slots, const float* cosines, const float* sines, int64_t rotations, uint64_t* failed, int64_t op, int64_t place) {
  int64_t token = blockIdx.x, part = blockIdx.y, half = dim / 2;
  int t = threadIdx.x, n = blockDim.x;
  bool shared = bits <= 8 && scheme == TOKEN;
  int64_t groups = shared ? 1 : kvHeads, per = kvHeads / groups; // heads a group
  int64_t position = positions[token], slot = slots[token];
  if (position < 0 || position >= rotations || slot < 0 || slot >= pages * page_tokens) {
    if (t == 0) fail_row(failed, place, token);
    return;
  }
  const float* c = cosines + position * half;
  const float* s = sines + position * half;
  const float* x = qkv + token * stride;

  // pair j of the row's part from column on, rotated or not
  auto pair = [&](int64_t column, int64_t j, bool rotated) -> Pair {
    int64_t at = column + j / half * dim + j % half, i = j % half;
    float a = x[at], b = x[at + half];
    if (!rotated) return {a, b};
    return {a * c[i] - b * s[i], b * c[i] + a * s[i]};
  };

  if (part < heads) {
    int64_t row = token * heads + part;
    Rows out = {qBits, dim, dim, q, qScale, qSum, qFloats};
    bool finite = store_row(out, row, [&](int j) {
      Pair p = pair(part * dim, j % half, true);
      return j < half ? p.a : p.b;
    });
    if (!finite && t == 0) fail_row(failed, op, token);
    return;
  }

  bool key = part < heads + groups;
  int64_t group = (part - heads) % groups;
  int64_t column = (heads + (key ? 0 : kvHeads) + group * per) * dim;
  bool rotated = key && !shared;
  Range r = {0, 0x7fffffff, -0x7fffffff - 1};
  for (int64_t j = t; j < per * half; j += n) {
    Pair p = pair(column, j, rotated);
    r.add(p.a), r.add(p.b);
  }
  r.abs = block_reduce(r.abs, Max());
  if (r.abs >= finite_bits || (bits != 32 && r.abs > (int)bits_of(max_f16))) {
    if (t == 0) fail_row(failed, op, token);
    return;
  }
  int64_t page = slot / page_tokens, offset = slot % page_tokens;
  // the bytes of head h of the group
  auto vector = [&](int64_t h) { return (key ? k : v) + ((page * kvHeads + group * per + h) * page_tokens + offset) * (dim * bits / 8); };
  if (bits > 8) {
    for (int64_t j = t; j < half; j += n) {
      Pair p = pair(column, j, rotated);
      if (bits == 16) {
        uint16_t* to = (uint16_t*)vector(0);
        to[j] = float_to_half(p.a), to[j + half] = float_to_half(p.b);
      } else {
        float* to = (float*)vector(0);
        to[j] = p.a, to[j + half] = p.b;
      }
    }
    return;
  }
  r.lo = block_reduce(r.lo, Min()), r.hi = block_reduce(r.hi, Max());
  Scale sz = kv_scale(float_of(order_of(r.lo)), float_of(order_of(r.hi)), bits, scheme);
  if (t == 0) {
    int64_t at = (page * groups + group) * page_tokens + offset;
    (key ? kScale : vScale)[at] = sz.scale;
    if (scheme == HEAD_ZP) (key ? kZero : vZero)[at] = sz.zero;
  }
  float scale = half_to_float(sz.scale), zero = half_to_float(sz.zero);
  float lo = scheme == HEAD_ZP && bits == 4 ? 0 : bits == 4 ? -7 : -127, hi = bits == 8 ? 127 : lo + (lo == 0 ? 15 : 14);
  int nibble = lo == 0 ? 0 : 8; // of q = 0
  for (int64_t j = t; j < per * half; j += n) {
    Pair p = pair(column, j, rotated);
    int a = (int)round_to(p.a - zero, scale, lo, hi), b = (int)round_to(p.b - zero, scale, lo, hi);
    uint8_t* to = vector(j / half) + j % half;
    if (bits == 4) {
      *to = (uint8_t)((a + nibble) | (b + nibble) << 4);
    } else {
      to[0] = (uint8_t)a, to[half] = (uint8_t)b;
    }
  }
}
