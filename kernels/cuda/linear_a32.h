// Products of float rows with float32 weights, on tensor cores, in an order that depends
// on nothing but the number of inputs: so a row has the same bits in any batch, though
// linear_a32_few.cu and linear_a32.cu cut the work differently.
//
//	block    of 256 inputs: fresh sums, added to the total in order
//	run      of 64 inputs, each 32 of them 8 to each of a lane quad's lanes
//	product  mma.m16n8k8 of tf32, weights as rows: 2 inputs of each lane, in order
//
// tf32 has 11 bits and float32's exponent. Both operands are split in two: x = hi + lo + e,
// |e| <= 2^-23·|x|, and all parts multiplied: four products, eight times the time of one
// of float16. It is for models that are kept in float32, not for speed.
#pragma once
#include "linear_float.h"

const int block_inputs = 256, run_bytes = run_inputs * 4;

// to_tf32 rounds to tf32, half away from zero.
DEV uint32_t to_tf32(float x) { return (bits_of(x) + 0x1000) & 0xffffe000; }

// Parts are a lane's eight inputs of a row as sums of two tf32.
struct Parts {
  uint32_t hi[8], lo[8];
  DEV_MEMBER Parts(const Words* w) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
      float x = float_of(w[j / 4].w[j % 4]);
      hi[j] = to_tf32(x);
      lo[j] = to_tf32(x - float_of(hi[j]));
    }
  }
};

// multiply adds the products of weight rows g and g+8 with token g, where the lane is
// (g, t).
DEV void multiply(float* c, const Parts& upper, const Parts& lower, const Parts& x) {
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    const uint32_t hi[4] = {upper.hi[i], lower.hi[i], upper.hi[i + 1], lower.hi[i + 1]};
    const uint32_t lo[4] = {upper.lo[i], lower.lo[i], upper.lo[i + 1], lower.lo[i + 1]};
    mma_tf32(c, hi, x.hi + i);
    mma_tf32(c, hi, x.lo + i);
    mma_tf32(c, lo, x.hi + i);
    mma_tf32(c, lo, x.lo + i);
  }
}
