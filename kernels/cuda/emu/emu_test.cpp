// emu_test.cpp - the emulator finds what it is there to find: each bug below, planted
// in a kernel that is right without it, shows under some schedule.
#include "fake_launch.h"
#include "../gpu.h"
#include "registry.h"

enum Bug { NONE, NO_BARRIER, NO_WAIT, NO_COMMIT, STALE_SHARED, HALF_A_BARRIER, HALF_A_WARP, TOO_FAR, MISALIGNED };

// reverse: out [blockDim] = in, reversed, by way of shared memory.
static void reverse(int* out, const int* in, int bug) {
  SMEM(int, s, 256);
  int t = threadIdx.x, n = blockDim.x;
  if (bug == NO_WAIT || bug == NO_COMMIT) {
    if (t % 4 == 0) cp_async16(s + t, in + t);
    if (bug == NO_WAIT) cp_async_commit();
    if (bug == NO_COMMIT) cp_async_wait<0>();
  } else if (bug != STALE_SHARED || blockIdx.x == 0) {
    s[t] = in[t];
  }
  if (bug == MISALIGNED && t < n - 4) *(Words*)(out + blockIdx.x * n + t / 4 * 4 + 2) = {}; // overwritten below
  if (bug == HALF_A_BARRIER && t >= n / 2) return sync_warp();
  if (bug != NO_BARRIER) sync_block();
  if (bug == HALF_A_BARRIER) sync_block(), shfl_xor(t, 1);
  if (bug == HALF_A_WARP && t % 32 < 16) shfl_xor(t, 1);
  if (bug == HALF_A_WARP && t % 32 >= 16) sync_warp();
  out[blockIdx.x * n + t + (bug == TOO_FAR ? 1 : 0)] = s[n - 1 - t];
}

// right runs reverse under one schedule, and reports whether it ended well with
// the right result.
static bool right(Bug bug, unsigned seed) {
  static emu::Register kernel("reverse", reverse);
  const int n = 128, ctas = 2;
  int* in = (int*)fake::memory.alloc(n * 4);
  int* out = (int*)fake::memory.alloc(ctas * n * 4);
  for (int i = 0; i < n; i++) in[i] = i;
  emu::seed = seed;
  bool ok = fake::run({&emu::registry()[0], {ctas, 1, 1}, {n, 1, 1}, 0, {(uint64_t)out, (uint64_t)in, (uint64_t)bug}}) == CUDA_SUCCESS;
  for (int i = 0; i < ctas * n; i++) ok = ok && out[i] == n - 1 - i % n;
  fake::memory.free((char*)in);
  fake::memory.free((char*)out);
  return ok;
}

int main() {
  const char* names[] = {"none", "no barrier", "no wait", "no commit", "shared memory of another CTA", "half a barrier", "half a warp", "a write past the end", "a misaligned store"};
  int failed = 0;
  for (int bug = NONE; bug <= MISALIGNED; bug++) {
    int wrong = 0;
    for (unsigned seed : {0u, 1u, 2u, 77u, 78u}) wrong += !right((Bug)bug, seed);
    bool as_expected = bug == NONE ? wrong == 0 : wrong > 0;
    printf("%-30s wrong under %d of 5 schedules%s\n", names[bug], wrong, as_expected ? "" : ": UNEXPECTED");
    failed += !as_expected;
  }
  return failed;
}
