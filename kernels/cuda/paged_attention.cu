// PagedAttention: out [T, heads·dim] = causal attention of q over the sequences' pages,
// with scale 1/√dim. Bit for bit cpu.PagedAttention, whose comment is the definition:
// the splits of 256 positions that it merges are what CTAs share out here.
//
// Grid [tiles, kvHeads · runs of heads, splits]: tiles are T with per = 1, else
// T/per + S, of which some are empty (find_tile). With parts, a CTA of 256 threads does one split for its
// tile's rows and leaves what it saw in parts [T·heads, splits, dim + 3], which the
// last of the tile's CTAs merges, in order of the splits: decode. Without, gridDim.z is
// 1, and it does all splits and merges them itself: prefill. Both give the same bits,
// as does any per.
//
// attention_int4 and attention_int8 have queries of 8 bits and caches of 4 or 8; both
// products run on tensor cores. attention_any4 and any8 are they where a vector's bytes
// are no multiple of 16, and begin anywhere. attention_f4, f8, f16, f32 have float queries and
// caches of so many bits: scores are FMAs in fp.Dot's order, and so are float values.
// What is rotated on read is rotated twice, for the first and the second half, and
// reads 8 bytes of tables for each element.
//
// Registers are held to 80, at which ptxas spills 10 to 75 words a thread, so that an SM
// has three CTAs: one waits for keys while another adds values.
//
// A tile whose first token's position, or whose pages, are not there fails by that
// token (fail_row).
//
// dim is even, up to 256. Dynamic shared memory: Layout. Speed: unmeasured.
#include "attention_values.h"
#include "tickets.h"

// Layout is the dynamic shared memory for up to rows = per·width rows, r8 those padded
// to 8. attentionShared in paged_attention.go knows its size (want_shared).
struct Layout {
  int* found;             // [1] find_tile's
  void* q;                // int8 [r8, query_plane·8/Bits], or float [r8, query_floats]
  float *vScale, *vZero;  // [256] the split's values'
  float *s, *x, *o;       // scores [rows, 256]; a split's values [rows, dim]; without parts all splits' [rows, dim]
  uint8_t* p;             // integer weights [r8, 2, 256], where values are integers
  QueryRow* query;        // [r8]
  RowSum* sums;           // [r8]
  Part *part, *all;       // [r8]
  Merge* merge;           // [r8]
  char* end;
  DEV_MEMBER Layout(char* m, int rows, int dim, int qBytes, bool ints, bool parts) {
    int r8 = (rows + 7) / 8 * 8;
    auto take = [&](int bytes) {
      char* p = m;
      m += (bytes + 15) / 16 * 16;
      return p;
    };
    found = (int*)take(4);
    vScale = (float*)take(split_tokens * 4);
    vZero = (float*)take(split_tokens * 4);
    q = take(r8 * qBytes);
    p = (uint8_t*)take(ints ? r8 * 2 * split_tokens : 0);
    s = (float*)take(rows * split_tokens * 4);
    x = (float*)take(rows * dim * 4);
    o = (float*)take(parts ? 0 : rows * dim * 4);
    query = (QueryRow*)take(r8 * sizeof(QueryRow));
    sums = (RowSum*)take(r8 * sizeof(RowSum));
    part = (Part*)take(r8 * sizeof(Part));
    all = (Part*)take(r8 * sizeof(Part));
    merge = (Merge*)take(r8 * sizeof(Merge));
    end = m;
  }
};

// load_queries copies a tile's queries to shared memory.
template <int Bits, bool Ints> DEV void load_queries(const Layout& m, const Attention& a, const Tile& tile) {
  int dim = (int)a.dim, rows = Ints ? (tile.rows + 7) / 8 * 8 : tile.rows;
  int plane = query_plane<Bits>(dim), width = Ints ? plane * 8 / Bits : query_floats(dim);
  for (int i = threadIdx.x; i < rows * width; i += attention_threads) {
    int r = i / width, at = i % width;
    if (!Ints) {
      ((float*)m.q)[i] = at < dim ? a.qFloats[tile.row(r, a.heads) * dim + at] : 0;
      continue;
    }
    int d = at % plane; // the element, of the low or the high plane
    bool there = r < tile.rows && d < dim * Bits / 8;
    ((int8_t*)m.q)[i] = there ? a.q[tile.row(r, a.heads) * dim + d + at / plane * (dim / 2)] : 0;
  }
  if (!Ints) return;
  float scale = div_f32(1.0f, sqrt_f32((float)dim));
  for (int r = threadIdx.x; r < tile.rows; r += attention_threads) {
    int64_t row = tile.row(r, a.heads);
    int sum = a.qSum[row], bias = Bits == 4 && a.scheme != HEAD_ZP ? -8 : 0;
    m.query[r] = {(float)(bias * sum), (float)sum, a.qScale[row] * scale};
  }
}

// merge_parts returns element d of a row that has so many parts, [splits, dim + 3].
// Loads of four parts are under way together.
DEV float merge_parts(const float* parts, int splits, int dim, int d) {
  const int ahead = 4;
  Part all = {minus_infinity(), 0, 0};
  float o = 0;
  for (int s = 0; s < splits; s += ahead, parts += ahead * (dim + 3)) {
    Part part[ahead];
    float x[ahead];
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      const float* p = parts + (s + i < splits ? i : 0) * (dim + 3);
      part[i] = {p[0], p[1], p[2]}, x[i] = p[3 + d];
    }
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      if (s + i == splits) break;
      Merge w = merge(&all, part[i]);
      o = w(o, x[i]);
    }
  }
  return quotient(o, all.l);
}

template <int Bits, bool Ints, bool Whole> DEV void attend(float* out, int64_t outStride, const Attention& a, const Cut& cut, float* parts, int* tickets, uint64_t* failed, int64_t op) {
  DYNAMIC_SMEM(char, dynamic);
  const bool int_values = Bits <= 8;
  int dim = (int)a.dim, thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  Layout m(dynamic, (int)(cut.per * cut.width), dim, Ints ? query_plane<Bits>(dim) * 8 / Bits : query_floats(dim) * 4, int_values, parts);
  want_shared(m.end - dynamic);
  Tile tile = find_tile(cut, (int)(a.heads / a.kvHeads), m.found);
  if (tile.rows == 0) return;
  int last = tile.position + tile.tokens - 1, splits = last / split_tokens + 1;
  if (tile.position < 0 || last >= a.positions) {
    if (thread == 0) fail_row(failed, op, tile.token);
    return;
  }
  int from = parts ? (int)blockIdx.z : 0, to = parts ? from + 1 : splits;
  if (from >= splits) return;
  auto last_of_tile = [&] { return last_of(splits, tickets + (int64_t)blockIdx.y * gridDim.x + blockIdx.x, m.found); };

  load_queries<Bits, Ints>(m, a, tile);
  for (int r = thread; r < tile.rows; r += attention_threads) m.all[r] = {minus_infinity(), 0, 0};
  if (!parts)
    for (int i = thread; i < tile.rows * dim; i += attention_threads) m.o[i] = 0;
  for (int split = from; split < to; split++) {
    int start = split * split_tokens, n = last + 1 - start < split_tokens ? last + 1 - start : split_tokens;
    int padded = (n + 31) / 32 * 32;
    int64_t page = thread < n ? tile.pages[(start + thread) / page_tokens] : 0;
    bool there = page >= 0 && page < a.pages;
    if (int_values) {
      float scale = 0, zero = 0;
      if (thread < n && there) {
        int64_t groups = a.scheme == TOKEN ? 1 : a.kvHeads;
        int64_t at = (page * groups + (a.scheme == TOKEN ? 0 : tile.head)) * page_tokens + (start + thread) % page_tokens;
        scale = half_to_float(a.v.scale[at]);
        if (a.scheme == HEAD_ZP) zero = half_to_float(a.v.zero[at]);
      }
      m.vScale[thread] = scale, m.vZero[thread] = zero;
      for (int i = thread; i < tile.rows * dim; i += attention_threads) ((int*)m.x)[i] = 0;
    } else {
      m.vScale[thread] = 1, m.vZero[thread] = 0;
    }
    if (sync_block_or(!there)) { // and queries, scales
      if (thread == 0) fail_row(failed, op, tile.token);
      if (parts) last_of_tile(); // the others count on it
      return;
    }
    if constexpr (Ints) {
      scores_int<Bits, Whole>(m.s, (const int8_t*)m.q, m.query, a, tile, start, n);
    } else {
      scores_float<Bits>(m.s, (const float*)m.q, a, tile, start, n);
    }
    sync_block();
    for (int r = warp; r < tile.rows; r += attention_warps) {
      int nibble = Bits == 4 && a.scheme != HEAD_ZP ? 8 : 0;
      Part part = softmax<int_values>(m.s + r * split_tokens, m.p + r * 2 * split_tokens, &m.sums[r], nibble, m.vScale, m.vZero, padded);
      if (lane == 0) {
        m.part[r] = part;
        m.merge[r] = tile.seen(r, start) ? merge(&m.all[r], part) : Merge{1, 0, 0};
      }
    }
    sync_block();
    if constexpr (int_values) {
      add_ints<Bits, Whole>((int*)m.x, m.p, a, tile, start, n);
    } else {
      add_values<Bits>(m.x, m.s, a, tile, start, n);
    }
    sync_block();
    for (int i = thread; i < tile.rows * dim; i += attention_threads) {
      int r = i / dim, d = i % dim;
      float x = m.x[i];
      if (int_values) x = (float)(((const int*)m.x)[i] - m.sums[r].offset) * m.sums[r].unit;
      if (parts) {
        float* to = parts + (tile.row(r, a.heads) * gridDim.z + split) * (dim + 3);
        to[3 + d] = x;
        if (d == 0) to[0] = m.part[r].m, to[1] = m.part[r].l, to[2] = m.part[r].c;
      } else if (tile.seen(r, start)) {
        m.o[i] = m.merge[r](m.o[i], x);
      }
    }
  }
  if (parts && !last_of_tile()) return;
  for (int i = thread; i < tile.rows * dim; i += attention_threads) {
    int r = i / dim, d = i % dim;
    float* to = out + (tile.token + r / tile.heads) * outStride + (int64_t)(tile.first + r % tile.heads) * dim + d;
    *to = parts ? merge_parts(parts + tile.row(r, a.heads) * gridDim.z * (dim + 3), splits, dim, d) : quotient(m.o[i], m.all[r].l);
  }
}

#define PARAMETERS                                                                                                                       \
  float *out, int64_t outStride, float *parts, int *tickets, const int8_t *q, const float *qScale, const int *qSum, const float *qFloats,             \
      const uint8_t *k, const uint16_t *kScale, const uint16_t *kZero, const uint8_t *v, const uint16_t *vScale, const uint16_t *vZero, \
      int64_t pages, int64_t positions, int64_t scheme, int64_t heads, int64_t kvHeads, int64_t dim, const float *cosines,              \
      const float *sines, const int *starts, const int *lens, const int *table, int64_t maxPages, int64_t sequences, int64_t per,       \
      int64_t width, uint64_t *failed, int64_t op
#define ARGUMENTS                                                                                                                            \
  out, outStride,                                                                                                                            \
      Attention{q, qScale, qSum, qFloats, {k, kScale, kZero}, {v, vScale, vZero}, pages, positions, scheme, heads, kvHeads, dim, cosines, sines}, \
      Cut{starts, lens, table, maxPages, sequences, per, width}, parts, tickets, failed, op

extern "C" __global__ void __launch_bounds__(256, 3) attention_int4(PARAMETERS) { attend<4, true, true>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_int8(PARAMETERS) { attend<8, true, true>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_any4(PARAMETERS) { attend<4, true, false>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_any8(PARAMETERS) { attend<8, true, false>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_f4(PARAMETERS) { attend<4, false, false>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_f8(PARAMETERS) { attend<8, false, false>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_f16(PARAMETERS) { attend<16, false, false>(ARGUMENTS); }
extern "C" __global__ void __launch_bounds__(256, 3) attention_f32(PARAMETERS) { attend<32, false, false>(ARGUMENTS); }
