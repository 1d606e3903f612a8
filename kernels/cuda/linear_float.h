// What the linear layers of float rows share.
#pragma once
#include "linear.h"

const int run_inputs = 64; // quant.RowAlign: rows are whole runs

// Watch is where a kernel says that a token's product is no number.
struct Watch {
  uint64_t* failed;
  int64_t op;
};

// finish returns sum times its row's scale, where weights have one. An infinite or
// undefined activation makes each sum of its token so, with weights of zero too: the row
// fails here.
DEV float finish(const Share& s, const Watch& watch, int64_t token, int64_t row, float sum) {
  float y = s.w.scale ? sum * float_of(load4(s.w.scale + row)) : sum;
  if ((bits_of(y) & 0x7f800000) == 0x7f800000) fail_row(watch.failed, watch.op, token);
  return y;
}

// output is where a token's output of a share's row stands.
DEV float* output(const Linear& l, const Share& s, int64_t token, int64_t row) { return l.out + token * l.stride + l.column + s.column + row; }

// store_float sets an output to, or adds, what finish returns.
DEV void store_float(const Linear& l, const Share& s, const Watch& watch, int64_t token, int64_t row, float sum) {
  float* out = output(l, s, token, row);
  float y = finish(s, watch, token, row, sum);
  *out = l.add ? *out + y : y;
}
