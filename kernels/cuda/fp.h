// Package fp's and package quant's float arithmetic on the device, to the bit. It
// counts on sums and products being rounded each by itself: -ffp-contract=off, or
// nvcc's -fmad=false. fma() is the fused one.
#pragma once
#include "gpu.h"

// exp is fp.Exp: e^x, 0 below -87, e^88 above 88. A NaN stays one.
DEV float exp_f32(float x) {
  if (x < -87.0f) return 0;
  x = x > 88.0f ? 88.0f : x;
  float n = rint_f32(x * 1.44269504f);
  float r = fma_f32(n, -0.693359375f, x);
  r = fma_f32(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fma_f32(p, r, 1.3981999507e-3f);
  p = fma_f32(p, r, 8.3334519073e-3f);
  p = fma_f32(p, r, 4.1665795894e-2f);
  p = fma_f32(p, r, 1.6666665459e-1f);
  p = fma_f32(p, r, 5.0000001201e-1f);
  p = fma_f32(p, r * r, r) + 1.0f;
  return float_of(bits_of(p) + ((uint32_t)(int)n << 23));
}

// silu is fp.SiLU: x·sigmoid(x).
DEV float silu(float x) { return div_f32(x, 1.0f + exp_f32(-x)); }

// sum8 is fp.Sum8 of eight neighbouring lanes' values: halves, quarters, the last two.
// Sums commute, so all eight lanes get the same bits.
DEV float sum8(float v) {
  for (int m = 4; m; m >>= 1) v += shfl_xor_f32(v, m);
  return v;
}

// round is quant.round: clamp(x/step to the nearest integer, ties to even), 0 where
// step is 0.
DEV float round_to(float x, float step, float lo, float hi) {
  if (step == 0) return 0;
  float q = rint_f32(div_f32(x, step));
  return q < lo ? lo : q > hi ? hi : q;
}

// order maps the bits of floats to integers that compare as the floats do, with
// -0 below 0. It is its own inverse.
DEV int order_of(int b) { return b ^ (b >> 31 & 0x7fffffff); }

DEV float bf16_to_f32(uint16_t h) { return float_of((uint32_t)h << 16); }

const float max_f16 = 65504;
