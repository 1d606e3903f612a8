// Rows that an operator fills (kernels.Rows), one row a CTA.
#pragma once
#include "fp.h"
#include "reduce.h"

const int finite_bits = 0x7f800000; // bits of |x| below are finite

struct Rows {
  int64_t bits, cols, stride;
  int8_t* q;
  float* scale;
  int* sum;
  float* f;
  DEV_MEMBER float qmax() const { return (float)((1 << (bits - 1)) - 1); }
};

// quantize_scale is quant.Activations' scale of values whose largest |x| has the bits m.
DEV float quantize_scale(int m, float qmax) { return m < finite_bits ? div_f32(float_of(m), qmax) : 0.0f; }

// store_row sets row i to y(0), ..., y(cols-1), quantized by quant.Activations
// where bits < 16, and its padding to zero. y is called twice for each column then.
// It returns whether all are finite, to all threads.
template <class Y> DEV bool store_row(const Rows& out, int64_t i, Y y) {
  int t = threadIdx.x, n = blockDim.x, m = 0;
  float* f = out.f + i * out.stride;
  for (int j = t; j < out.cols; j += n) {
    float v = y(j);
    m = Max()(m, (int)(bits_of(v) & 0x7fffffff));
    if (out.bits == 16) f[j] = v;
  }
  m = block_reduce(m, Max());
  if (out.bits == 16) {
    for (int j = (int)out.cols + t; j < out.stride; j += n) f[j] = 0;
    return m < finite_bits;
  }
  float qmax = out.qmax(), scale = quantize_scale(m, qmax);
  int8_t* q = out.q + i * out.stride;
  int sum = 0;
  for (int j = t; j < out.stride; j += n) {
    int v = j < out.cols ? (int)round_to(y(j), scale, -qmax, qmax) : 0;
    q[j] = (int8_t)v;
    sum += v;
  }
  sum = block_reduce(sum, Sum());
  if (t == 0) out.scale[i] = scale, out.sum[i] = sum;
  return m < finite_bits;
}
