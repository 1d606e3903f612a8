// emu_test.cpp - the emulator finds what it is there to find: each bug below, planted
// in a kernel that is right without it, shows under some schedule. And its words of 16-bit
// floats compute what the PTX ISA says.
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

static const emu::Kernel* named(const char* name) {
  for (auto& k : emu::registry())
    if (k.name == name) return &k;
  abort();
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
  bool ok = fake::run({named("reverse"), {ctas, 1, 1}, {n, 1, 1}, 0, {(uint64_t)out, (uint64_t)in, (uint64_t)bug}}) == CUDA_SUCCESS;
  for (int i = 0; i < ctas * n; i++) ok = ok && out[i] == n - 1 - i % n;
  fake::memory.free((char*)in);
  fake::memory.free((char*)out);
  return ok;
}

// Order is what a kernel lacks that adds up what CTAs left: the emulator alone gives the right
// result without.
enum Order { ALL, NO_RELEASE, NO_ACQUIRE, FENCE_BEFORE_BARRIER, CONSTANT, NO_BARRIER_BEHIND, NO_SYNC_WARP };

// sum_all: out [1] = Σ (i + 1) over the threads of all CTAs, which leave theirs in left: the
// last CTA adds them.
static void sum_all(int* out, int* left, int* ticket, int order) {
  SMEM(int, s, 64);
  SMEM(int, last, 1);
  int t = threadIdx.x, n = blockDim.x;
  s[t] = t;
  if (order != NO_SYNC_WARP) sync_warp();
  int other = s[t / 32 * 32 + t % 32 / 2];
  sync_block();
  other += s[(t + 32) % n];
  if (order != NO_BARRIER_BEHIND) sync_block();
  s[t] = blockIdx.x * n + t + (other < 0 ? 0 : 1);
  left[blockIdx.x * n + t] = s[t];
  if (order == FENCE_BEFORE_BARRIER) fence_device();
  sync_block();
  if (t == 0) {
    if (order != NO_RELEASE && order != FENCE_BEFORE_BARRIER) fence_device();
    last[0] = atomic_add(ticket, 1) == (int)gridDim.x - 1;
    if (order != NO_ACQUIRE) fence_device();
  }
  sync_block();
  if (!last[0] || t > 0) return;
  int sum = 0;
  for (int i = 0; i < (int)gridDim.x * n; i++) sum += order == CONSTANT ? (int)load4(left + i) : left[i];
  *out = sum;
}

static bool sum_right(Order order, unsigned seed) {
  static emu::Register kernel("sum_all", sum_all);
  const int n = 64, ctas = 2;
  int* words = (int*)fake::memory.alloc((ctas * n + 2) * 4);
  words[1] = 0;
  emu::seed = seed;
  bool ok = fake::run({named("sum_all"), {ctas, 1, 1}, {n, 1, 1}, 0, {(uint64_t)words, (uint64_t)(words + 2), (uint64_t)(words + 1), (uint64_t)order}}) == CUDA_SUCCESS;
  ok = ok && words[0] == ctas * n * (ctas * n + 1) / 2;
  fake::memory.free((char*)words);
  return ok;
}

// products: out [16, 8] = a [16, 16] · bᵀ of b [8, 16], both in pairs. ldmatrix deals the
// fragments out, 16 bytes of each row to four lanes; sums come as the ISA has them: two
// neighbours of row g, then of g+8.
static void products(float* out, const uint32_t* a, const uint32_t* b, int bf16) {
  SMEM(uint32_t, s, 24 * 8);
  int lane = threadIdx.x;
  for (int i = lane; i < 24 * 8; i += 32) s[i] = i < 16 * 8 ? a[i] : b[i - 16 * 8];
  sync_warp();
  uint32_t fa[4], fb[4];
  ldmatrix_x4(fa, shared_of(s + lane % 16 * 8 + lane / 16 * 4));
  ldmatrix_x4(fb, shared_of(s + (16 + lane % 8) * 8 + lane / 8 % 2 * 4));
  float c[4] = {0.5f, 0.5f, 0.5f, 0.5f};
  if (bf16) mma_bf16(c, fa, fb);
  else mma_f16(c, fa, fb);
  for (int i = 0; i < 4; i++) out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = c[i];
}

static bool products_right(bool bf16) {
  static emu::Register kernel("products", products);
  auto pack = bf16 ? pack_bf16 : pack_f16;
  auto a = [](int row, int i) { return (float)(row * 3 - i * 5 % 7); };
  auto b = [](int col, int i) { return (float)(col * i % 11 - 4); };
  uint32_t* words = (uint32_t*)fake::memory.alloc(24 * 8 * 4);
  float* out = (float*)fake::memory.alloc(16 * 8 * 4);
  for (int i = 0; i < 24 * 8; i++) {
    int row = i / 8, at = i % 8 * 2;
    words[i] = row < 16 ? pack(a(row, at), a(row, at + 1)) : pack(b(row - 16, at), b(row - 16, at + 1));
  }
  bool ok = fake::run({named("products"), {1, 1, 1}, {32, 1, 1}, 0, {(uint64_t)out, (uint64_t)words, (uint64_t)(words + 16 * 8), bf16}}) == CUDA_SUCCESS;
  for (int row = 0; row < 16; row++)
    for (int col = 0; col < 8; col++) {
      float want = 0.5f;
      for (int i = 0; i < 16; i++) want += a(row, i) * b(col, i);
      ok = ok && out[row * 8 + col] == want;
    }
  fake::memory.free((char*)words);
  fake::memory.free((char*)out);
  return ok;
}

// rounding_right holds conversions to a table: ties, subnormals, what is too large, NaN.
static bool rounding_right() {
  struct { uint32_t (*pack)(float, float); float x; uint32_t want; } table[] = {
      {pack_f16, 1, 0x3c00}, {pack_f16, 1 + 0x1p-11f, 0x3c00}, {pack_f16, 1 + 0x3p-11f, 0x3c02}, {pack_f16, 1 + 0x1p-11f + 0x1p-23f, 0x3c01},
      {pack_f16, -0.0f, 0x8000}, {pack_f16, 0x1p-24f, 1}, {pack_f16, 0x1p-25f, 0}, {pack_f16, 0x3p-25f, 2},
      {pack_f16, 65519, 0x7bff}, {pack_f16, -65520, 0xfc00}, {pack_f16, __builtin_nanf(""), 0x7fff},
      {pack_bf16, 1, 0x3f80}, {pack_bf16, 1 + 0x1p-8f, 0x3f80}, {pack_bf16, 1 + 0x3p-8f, 0x3f82}, {pack_bf16, -1 - 0x1p-8f - 0x1p-23f, 0xbf81},
      {pack_bf16, 0x1p-133f, 1}, {pack_bf16, __FLT_MAX__, 0x7f80}, {pack_bf16, __builtin_nanf(""), 0x7fff},
  };
  bool ok = true;
  for (auto& t : table) ok = ok && t.pack(t.x, 2) == (t.want | t.pack(2, 0) << 16) && t.pack(2, t.x) == (t.pack(2, 0) | t.want << 16);
  uint32_t ten = pack_f16(1034, 1023), least = pack_f16(1, 0x1p-12f);
  return ok && sub_f16x2(ten, pack_f16(1024, 1024)) == pack_f16(10, -1) && sub_f16x2(least, pack_f16(0x1p-12f, 0x1p-24f)) == pack_f16(1, 0x1p-12f - 0x1p-24f);
}

// found_all reports whether right fails under some schedule with each bug, but the first,
// which is none.
template <class Bug> static bool found_all(std::vector<const char*> names, bool (*right)(Bug, unsigned)) {
  bool all = true;
  for (int bug = 0; bug < (int)names.size(); bug++) {
    int wrong = 0;
    for (unsigned seed : {0u, 1u, 2u, 77u, 78u}) wrong += !right((Bug)bug, seed);
    bool as_expected = bug == 0 ? wrong == 0 : wrong > 0;
    printf("%-30s wrong under %d of 5 schedules%s\n", names[bug], wrong, as_expected ? "" : ": UNEXPECTED");
    all = all && as_expected;
  }
  return all;
}

int main() {
  bool found = found_all<Bug>({"none", "no barrier", "no wait", "no commit", "shared memory of another CTA", "half a barrier", "half a warp", "a write past the end", "a misaligned store"}, right);
  found &= found_all<Order>({"none", "no fence before a count", "no fence behind a count", "a fence before the barrier", "ld.global.nc of a write", "no barrier behind a read", "no sync_warp"}, sum_right);
  int failed = !found;
  struct { const char* name; bool right; } words[] = {
      {"products of float16", products_right(false)}, {"products of bfloat16", products_right(true)}, {"rounding to 16 bits", rounding_right()}};
  for (auto& w : words) {
    printf("%-30s %s\n", w.name, w.right ? "right" : "WRONG");
    failed += !w.right;
  }
  return failed;
}
