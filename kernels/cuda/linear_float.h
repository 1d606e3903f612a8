// Products of float rows with weights of any type, on tensor cores, in an order that
// depends on nothing but the number of inputs: so a row has the same bits in any
// batch, though linear_float_few.cu and linear_float.cu cut the work differently.
//
//	block    of 256 inputs: fresh sums, added to the total in order
//	run      of 64 inputs, 8 of them to each of a lane quad's lanes, twice
//	product  mma.m16n8k8 of tf32, weights as rows: 2 inputs of each lane, in order
//
// tf32 has 11 bits and float32's exponent, which weights fit into exactly but
// float32 ones. Activations, and those, are split in two: x = hi + lo + e, |e| <=
// 2^-23·|x|, and multiplied by hi, then by lo.
#pragma once
#include "gpu.h"

enum Type { INT4, INT8, F16, BF16, F32 }; // kernels.WeightType

const int block_inputs = 256;
const int run_inputs = 64;

// Words of a row that a lane has of a run: 2·8 inputs, those of each eight together
// but int4's, whose low nibbles are the first eight (quant.Int4Pack).
constexpr __device__ int lane_words(int type) { return type == INT4 ? 2 : type == INT8 ? 4 : type == F32 ? 16 : 8; }
constexpr __device__ int run_bytes(int type) { return 4 * 4 * lane_words(type); }

// lane_at is where words of 4·i.. bytes of lane t's are in a run: each eight of the
// four lanes stand side by side.
template <int T> DEV int lane_at(int t, int i) {
  const int half = T == INT4 ? 2 : lane_words(T) / 2; // words
  return (i / half * 4 * half + t * half + i % half) * 4;
}

// eight sets x to a lane's inputs 8·h.. of a run.
template <int T> DEV void eight(float* x, const uint32_t* w, int h) {
#pragma unroll
  for (int j = 0; j < 8; j++) {
    if (T == INT4) x[j] = (float)((int)(w[j / 4] >> (8 * (j % 4) + 4 * h) & 15) - 8);
    if (T == INT8) x[j] = (float)(int8_t)(w[2 * h + j / 4] >> 8 * (j % 4));
    if (T == F16) x[j] = half_to_float((uint16_t)(w[4 * h + j / 2] >> 16 * (j % 2)));
    if (T == BF16) x[j] = float_of(j % 2 ? w[4 * h + j / 2] & 0xffff0000 : w[4 * h + j / 2] << 16);
    if (T == F32) x[j] = float_of(w[8 * h + j]);
  }
}

// to_tf32 rounds to tf32, half away from zero.
DEV uint32_t to_tf32(float x) { return (bits_of(x) + 0x1000) & 0xffffe000; }

// Parts are eight inputs as sums of two tf32.
struct Parts {
  uint32_t hi[8], lo[8];
};
DEV Parts parts_of(const float* x) {
  Parts p;
#pragma unroll
  for (int j = 0; j < 8; j++) {
    p.hi[j] = to_tf32(x[j]);
    p.lo[j] = to_tf32(x[j] - float_of(p.hi[j]));
  }
  return p;
}

// Rows are eight inputs of weight rows g and g+8: operands of four mma.
template <int T> struct Rows8 {
  uint32_t hi[4][4], lo[4][4];
  DEV_MEMBER Rows8(const uint32_t* upper, const uint32_t* lower, int h) {
    float u[8], v[8];
    eight<T>(u, upper, h);
    eight<T>(v, lower, h);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float x[4] = {u[2 * i], v[2 * i], u[2 * i + 1], v[2 * i + 1]};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        hi[i][j] = T == F32 ? to_tf32(x[j]) : bits_of(x[j]);
        if (T == F32) lo[i][j] = to_tf32(x[j] - float_of(hi[i][j]));
      }
    }
  }
  // multiply adds the products with eight tokens' inputs, of which lane (g, t) has token g's.
  DEV_MEMBER void multiply(float* c, const Parts& x) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      mma_tf32(c, hi[i], x.hi + 2 * i);
      mma_tf32(c, hi[i], x.lo + 2 * i);
      if (T == F32) mma_tf32(c, lo[i], x.hi + 2 * i), mma_tf32(c, lo[i], x.lo + 2 * i);
    }
  }
};

// store_float sets out to, or adds, sum, times its row's scale where weights have one.
DEV void store_float(float* out, float sum, const float* wScale, int64_t row, bool add) {
  float y = wScale ? sum * wScale[row] : sum;
  *out = add ? *out + y : y;
}
