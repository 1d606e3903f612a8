// Draw: ids [rows] = tokens drawn from logits [rows, vocab], each as its words of draws
// say; kernels.Draw is the definition. To the bit: weights are fp.Exp's, and what is
// added or compared are integers, which need no order.
//
// Grid [rows]: a CTA draws one row; each of its warps has a range of ids, of which a
// lane reads four at a time. A pass goes over all logits:
//   1  the most likely token, which is all that greedy rows want
//   2  the weights that are left, by warp: the range in which the target is, of whose
//      weights a thread then has a few neighbours
// top-k and top-p take three more each, between these: how much there is in all; the
// sums of 1,024 intervals of logits, of which one holds the last token that is left;
// the tokens of that one, which are few and so compared with each other. Are there
// more than a few, then two passes more divide that interval.
//
// Shared memory: 13 KiB. Speed: unmeasured. A row of 32,000 is 128 KB, which an SM
// reads from L2 in some 2 us and where its L1 holds a row, faster the next time; the
// 15 operations of a weight take as long. So 2 us greedy, 5 with a temperature, 12
// with top-p or top-k, for as many rows at once as there are SMs.
#include "fp.h"
#include "reduce.h"

const int intervals = 1024, few = 256;
const float max_f32 = 3.402823466e38f;

// weightless: e^-29·2^40 is 0.28, so logits so far below have no weight.
const float weightless = -29;

// Draw is kernels.Draw; its words are aligned to 4 bytes.
struct Draw {
  uint64_t random;
  double below, leave;
  float scale;
  int topK;
};

union Long { double d; uint64_t u; };

DEV Draw read_draw(const int* words) {
  auto word = [&](int i) { return load4(words + i); };
  auto both = [&](int i) { return word(i) | (uint64_t)word(i + 1) << 32; };
  Long below, leave;
  below.u = both(2), leave.u = both(4);
  return {both(0), below.d, leave.d, float_of(word(6)), (int)word(7)};
}

// Row is a row of logits, and what is left of it: the tokens down to lastId of logit
// last. Logits are at most max_f32; a NaN is never left, and -Inf has no weight.
struct Row {
  const float* x;
  int vocab;
  float top, scale, last;
  int lastId;

  DEV_MEMBER static float finite(float v) { return v > max_f32 ? max_f32 : v; }
  DEV_MEMBER bool left(float v, int id) const { return v > last || (v == last && id <= lastId); }
  DEV_MEMBER float exponent(float v) const { return (v - top) * scale; }
  DEV_MEMBER uint64_t weight(float v) const {
    float a = exponent(v);
    return a >= weightless ? (uint64_t)rint_f32(exp_f32(a) * 0x1p40f) : 0;
  }

  // A warp's range of ids, as long as any, is whole steps of 128.
  DEV_MEMBER int range() const { int step = 128 * (int)blockDim.x / 32; return (vocab + step - 1) / step * 128; }

  // each calls f(id, logit) for all ids, a thread's in order.
  template <class F> DEV_MEMBER void each(F f) const {
    int from = threadIdx.x / 32 * range(), to = from + range() < vocab ? from + range() : vocab;
    for (int i = from + threadIdx.x % 32 * 4; i < to; i += 128) {
      Words w = load16(x + i);
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (i + j < vocab) f(i + j, finite(float_of(w.w[j])));
    }
  }
};

DEV uint64_t shfl_xor_u64(uint64_t v, int mask) {
  return (uint32_t)shfl_xor((int)v, mask) | (uint64_t)(uint32_t)shfl_xor((int)(v >> 32), mask) << 32;
}

// warp_scan returns the sum of v over the lanes before this one, and sets v to that
// over all.
DEV uint64_t warp_scan(uint64_t& v) {
  uint64_t before = 0;
  for (int m = 1; m < 32; m *= 2) {
    uint64_t other = shfl_xor_u64(v, m);
    if (threadIdx.x & m) before += other;
    v += other;
  }
  return before;
}

// by_warp returns the warps' v, until it is called again.
DEV const uint64_t* by_warp(uint64_t v) {
  SMEM(uint64_t, part, 32);
  sync_block();
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  sync_block();
  return part;
}

// sum_of returns the sum of v over the CTA.
DEV uint64_t sum_of(uint64_t v) {
  warp_scan(v);
  const uint64_t* part = by_warp(v);
  v = 0;
  for (int w = 0; w < (int)blockDim.x / 32; w++) v += part[w];
  return v;
}

struct Place { int at; uint64_t before; };

// find returns the first of n items with which value(0), value(1), ... add up to more
// than target, which is less than all, and what those before it add up to.
template <class V> DEV Place find(int n, uint64_t target, V value) {
  SMEM(Place, found, 1);
  int t = threadIdx.x, some = (n + (int)blockDim.x - 1) / (int)blockDim.x;
  int from = t * some < n ? t * some : n, to = from + some < n ? from + some : n;
  uint64_t sum = 0;
  for (int i = from; i < to; i++) sum += value(i);
  uint64_t warp = sum, before = warp_scan(warp);
  const uint64_t* part = by_warp(warp);
  for (int w = 0; w < t / 32; w++) before += part[w];
  if (before <= target && target < before + sum) {
    int i = from;
    for (uint64_t v; before + (v = value(i)) <= target; i++) before += v;
    found[0] = {i, before};
  }
  sync_block();
  return found[0];
}

// pick returns the id at target(Σ value) of the values value(id, logit), counted by id.
template <class T, class V> DEV int pick(const Row& r, T target, V value) {
  uint64_t sum = 0, total = 0;
  r.each([&](int id, float v) { sum += value(id, v); });
  warp_scan(sum);
  const uint64_t* part = by_warp(sum);
  for (int w = 0; w < (int)blockDim.x / 32; w++) total += part[w];
  uint64_t rest = target(total);
  int w = 0;
  while (rest >= part[w]) rest -= part[w++];
  int from = w * r.range(), n = from + r.range() < r.vocab ? r.range() : r.vocab - from;
  return from + find(n, rest, [&](int i) { return value(from + i, Row::finite(r.x[from + i])); }).at;
}

// add_shared adds v to a sum in shared memory whose halves lie apart: the hardware has
// atomic sums of 32 bits there.
DEV void add_shared(uint32_t* low, uint32_t* high, uint64_t v) {
  uint32_t l = (uint32_t)v, h = (uint32_t)(v >> 32);
  if (fetch_add_shared(low, l) > ~l) h++; // past 2^32
  if (h) fetch_add_shared(high, h);
}

struct Candidate { float logit; int id; uint64_t value; };

// cut leaves of r the first tokens that come to enough, each counting 1 where counted,
// else its weight. All come to enough at least, those of exponents below bar need not
// be looked at, and low is the lowest logit left that has a weight.
//
// The last of them has a logit of [lo, hi], before which all come to enough - rest.
// Equals of r.last that are not left come after all that are, so they change nothing.
DEV void cut(Row& r, bool counted, uint64_t enough, float low, float bar) {
  SMEM(uint32_t, sumLow, intervals);
  SMEM(uint32_t, sumHigh, intervals);
  SMEM(Candidate, list, few);
  SMEM(uint32_t, listed, 1);
  SMEM(Candidate, last, 1);
  int t = threadIdx.x, threads = blockDim.x;
  float hi = r.top, lo = low;
  uint64_t rest = enough;
  auto value = [&](float v) { return counted ? 1 : r.weight(v); };
  auto within = [&](float v) { return v >= lo && v <= hi && r.exponent(v) >= bar; };
  while (lo < hi) {
    // hi is in interval 0 and lo in the last or the one before, so that less is left
    // each time. Differences of denormals are scaled up, lest the quotient overflow.
    float up = hi - lo < 0x1p-64f ? 0x1p64f : 1, perLogit = div_f32(intervals - 1, (hi - lo) * up), first = hi;
    auto interval = [&](float v) { return (int)((first - v) * up * perLogit); };
    for (int i = t; i < intervals; i += threads) sumLow[i] = sumHigh[i] = 0;
    if (t == 0) listed[0] = 0;
    sync_block();
    r.each([&](int id, float v) {
      if (!within(v)) return;
      int i = interval(v);
      add_shared(&sumLow[i], &sumHigh[i], value(v));
    });
    sync_block();
    Place p = find(intervals, rest - 1, [&](int i) { return sumLow[i] | (uint64_t)sumHigh[i] << 32; });
    rest -= p.before;
    int highest = order_of(bits_of(lo)), lowest = order_of(bits_of(hi));
    r.each([&](int id, float v) {
      if (!within(v) || interval(v) != p.at) return;
      uint32_t i = fetch_add_shared(&listed[0], 1);
      if (i < few) list[i] = {v, id, value(v)};
      highest = Max()(highest, order_of(bits_of(v)));
      lowest = Min()(lowest, order_of(bits_of(v)));
    });
    hi = float_of(order_of(block_reduce(highest, Max())));
    int n = (int)listed[0]; // which is cleared after the next barrier
    lo = float_of(order_of(block_reduce(lowest, Min())));
    if (n > few) continue;
    for (int i = t; i < n; i += threads) {
      uint64_t before = 0;
      for (int j = 0; j < n; j++)
        if (list[j].logit > list[i].logit || (list[j].logit == list[i].logit && list[j].id < list[i].id)) before += list[j].value;
      if (before < rest && rest <= before + list[i].value) last[0] = list[i];
    }
    sync_block();
    r.last = last[0].logit, r.lastId = last[0].id;
    return;
  }
  // All that is within has one logit, so one value.
  uint64_t ahead = (rest - 1) / value(hi);
  int id = pick(r, [&](uint64_t) { return ahead; }, [&](int id, float v) { return (uint64_t)within(v); });
  r.last = hi, r.lastId = id;
}

// draw_row returns the token, to all threads.
DEV int draw_row(const float* x, int vocab, const Draw& d) {
  const float none = float_of(0xff800000); // -Inf
  float best = none;
  int bestId = 0;
  Row r = {x, vocab, 0, d.scale, 0, 0x7fffffff};
  r.each([&](int id, float v) {
    if (v > best) best = v, bestId = id;
  });
  r.top = float_of(order_of(block_reduce(order_of(bits_of(best)), Max())));
  if (r.top == none) return -1;
  if (d.topK == 1) return block_reduce(best == r.top ? bestId : 0x7fffffff, Min());
  r.last = (float)((double)r.top - d.below);
  for (int k = 0; k < 2; k++) {
    bool counted = k == 0;
    if (counted ? d.topK == 0 : d.leave == 0) continue;
    uint64_t sum = 0;
    int low = order_of(bits_of(r.top));
    r.each([&](int id, float v) {
      if (!r.left(v, id) || r.exponent(v) < weightless) return;
      sum += counted ? 1 : r.weight(v);
      low = Min()(low, order_of(bits_of(v)));
    });
    sum = sum_of(sum);
    low = block_reduce(low, Min());
    uint64_t enough = (uint64_t)d.topK;
    float bar = weightless;
    if (!counted) {
      uint64_t leave = (uint64_t)(d.leave * (double)sum);
      if (leave > sum - 1) leave = sum - 1;
      enough = sum - leave;
      // All tokens of weights up to leave/vocab can be left out together. Those of
      // exponents below ln(2^e/2^40) weigh at most 2^e; the thousandth is for exp's
      // last bit and the rounding of leave/vocab.
      uint64_t light = leave / (uint64_t)vocab;
      if (light > 0) bar = (float)((int)(bits_of((float)light) >> 23) - 127 - 40) * 0.693147181f - 0.001f;
    }
    if (enough < sum) cut(r, counted, enough, float_of(order_of(low)), bar);
  }
  return pick(
      r, [&](uint64_t sum) { return (uint64_t)((unsigned __int128)d.random * sum >> 64); },
      [&](int id, float v) { return r.left(v, id) ? r.weight(v) : 0; });
}

extern "C" __global__ void __launch_bounds__(1024) draw(int* ids, const float* logits, int64_t stride, int64_t vocab, const int* draws) {
  int64_t row = blockIdx.x;
  Draw d = read_draw(draws + row * 8);
  int id = d.scale == 0 ? -1 : draw_row(logits + row * stride, (int)vocab, d);
  if (threadIdx.x == 0) ids[row] = id;
}
