// What the kernels of Linear and LinearAdd take first: up to three weights of one type
// (w.maxParts in linear.go), whose outputs stand side by side. So q, k and v are one
// launch. A CTA does rows of one weight only; each weight begins with a new CTA.
#pragma once
#include "gpu.h"

// Weight is a matrix of rows; scale is null where its type has none.
struct Weight {
  const uint8_t* data;
  const float* scale;
  int64_t rows;
};

// Linear is a launch's weights and where their outputs go: from column on in rows of
// out. What is not used has no rows.
struct Linear {
  float* out;
  int64_t stride, column;
  bool add;
  Weight w[3];

  // rows is the number of outputs for a token.
  DEV_MEMBER int64_t rows() const { return w[0].rows + w[1].rows + w[2].rows; }
};

// Share is a CTA's part of a launch: rows of w from row on, where row 0's output is
// the launch's column-th.
struct Share {
  Weight w;
  int64_t row, column;
};

// share_of returns the share of CTA i, where CTAs do Rows rows each.
template <int Rows> DEV Share share_of(const Linear& l, int64_t i) {
  int64_t ctas = (l.w[0].rows + Rows - 1) / Rows;
  if (i < ctas) return {l.w[0], i * Rows, 0};
  i -= ctas, ctas = (l.w[1].rows + Rows - 1) / Rows;
  if (i < ctas) return {l.w[1], i * Rows, l.w[0].rows};
  return {l.w[2], (i - ctas) * Rows, l.w[0].rows + l.w[1].rows};
}

// ctas returns how many CTAs share_of gives work.
template <int Rows> DEV int64_t ctas(const Linear& l) {
  int64_t n = 0;
  for (int i = 0; i < 3; i++) n += (l.w[i].rows + Rows - 1) / Rows;
  return n;
}

#define LINEAR_PARAMETERS                                                                                     \
  float *out, int64_t outStride, int64_t column, int64_t add, const uint8_t *w0, const float *scale0, int64_t rows0, \
      const uint8_t *w1, const float *scale1, int64_t rows1, const uint8_t *w2, const float *scale2, int64_t rows2
#define LINEAR_ARGUMENTS                                                                        \
  Linear { out, outStride, column, add != 0, {{w0, scale0, rows0}, {w1, scale1, rows1}, {w2, scale2, rows2}} }
