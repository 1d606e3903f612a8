// W16A16: products of float rows with weights of int4, int8, float16 or bfloat16 on
// tensor cores. Activations are rounded, to nearest even, to float16, which holds int4
// and int8 exactly, or for weights of bfloat16 to that; products are exact, sums float32.
//
// A sum's order depends on nothing but the number of inputs: so a row has the same bits
// in any batch, though linear_a16_few.cu and linear_a16.cu cut the work differently.
//
//	half     of a row's runs, the first of them the larger: sums from zero, in order;
//	         then the halves' sums are added. Sums commute, so any two warps, or CTAs,
//	         may have one each
//	run      of 64 inputs, each 32 of them 8 to each of a lane quad's lanes
//	product  mma.m16n8k16, tokens as rows, weights as columns: 4 inputs of each lane
//
// So a lane's eight inputs of a weight's row are one load, from memory or shared memory,
// and the operands of two products.
#pragma once
#include "linear_float.h"
#include "stage.h"

enum Type { INT4, INT8, F16, BF16 }; // kernels.WeightType

// row_bytes is the size of so many inputs of a weight's row.
constexpr __device__ int row_bytes(int type, int inputs) { return inputs * (type == INT4 ? 4 : type == INT8 ? 8 : 16) / 8; }

// first_half is how many of a row's runs are in the first half.
DEV int first_half(int64_t depth) { return ((int)depth / run_inputs + 1) / 2; }

// lane_bytes is the size of a lane's eight inputs, or of sixteen of int4, whose high
// nibbles are those 32 inputs on (quant.Int4Pack).
constexpr __device__ int lane_bytes(int type) { return type == F16 || type == BF16 ? 16 : 8; }

// lane_at is where lane t's eight inputs of a run's half h are, in the run.
template <int T> DEV int lane_at(int t, int h) { return t * lane_bytes(T) + (T == INT4 ? 0 : h * row_bytes(T, 32)); }

// widen turns the words of a lane's eight inputs into pairs of halves. An integer u in
// the low bits of 0x6400 is the float16 1024 + u, from which a constant is subtracted,
// exactly: int8's sign bit is flipped before, which adds 128; int4 is stored as q+8.
template <int T> DEV void widen(uint32_t* pairs, const uint32_t* w, int h) {
  if (T == F16 || T == BF16) {
#pragma unroll
    for (int i = 0; i < 4; i++) pairs[i] = w[i];
    return;
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    uint32_t u = T == INT4 ? w[i] >> 4 * h & 0x0f0f0f0f : w[i] ^ 0x80808080, offset = T == INT4 ? 0x64086408 : 0x64806480;
    pairs[2 * i] = sub_f16x2(byte_perm(u, 0x64646464, 0x4140), offset);
    pairs[2 * i + 1] = sub_f16x2(byte_perm(u, 0x64646464, 0x4342), offset);
  }
}

// widened reads lane t's eight inputs of a weight's row in a step's half h, as pairs.
template <int T, int RowBytes> DEV void widened(uint32_t* pairs, const char* shared, int row, int h, int t) {
  int where = lane_at<T>(t, h);
  const char* p = shared + at<RowBytes>(row, where / 16) + where % 16;
  if (lane_bytes(T) == 16) {
    Words v = *(const Words*)p;
    widen<T>(pairs, v.w, h);
  } else {
    uint64_t v = *(const uint64_t*)p;
    const uint32_t w[2] = {(uint32_t)v, (uint32_t)(v >> 32)};
    widen<T>(pairs, w, h);
  }
}

// round_pair rounds two activations for weights of type T; x is the pair's lower half.
template <int T> DEV uint32_t round_pair(float x, float y) { return T == BF16 ? pack_bf16(x, y) : pack_f16(x, y); }

// mma adds the products of four inputs of each lane: a are pairs of tokens g, g+8 and
// again g, g+8, w pairs of weight row g, where the lane is (g, t).
template <int T> DEV void mma(float* c, const uint32_t* a, const uint32_t* w) {
  if (T == BF16) mma_bf16(c, a, w);
  else mma_f16(c, a, w);
}
