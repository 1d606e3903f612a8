// Reductions over a CTA of any number of whole warps.
#pragma once
#include "gpu.h"

struct Max { DEV_MEMBER int operator()(int a, int b) { return a > b ? a : b; } };
struct Min { DEV_MEMBER int operator()(int a, int b) { return a < b ? a : b; } };
struct Sum { DEV_MEMBER int operator()(int a, int b) { return a + b; } };

// warp_reduce returns op over a warp's v, to all lanes.
template <class Op> DEV int warp_reduce(int v, Op op) {
  for (int m = 16; m; m >>= 1) v = op(v, shfl_xor(v, m));
  return v;
}

// block_reduce returns op over a CTA's v, to all threads.
template <class Op> DEV int block_reduce(int v, Op op) {
  SMEM(int, part, 32);
  v = warp_reduce(v, op);
  sync_block(); // an earlier call's part was read
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  sync_block();
  v = part[0];
  for (int w = 1; w < (int)blockDim.x / 32; w++) v = op(v, part[w]);
  return v;
}
