#include "races.h"
#include "emu.h"
#include <map>
#include <unordered_map>

namespace {

// When is a moment of a CTA's thread: its barriers and its warp's so far.
struct When { uint32_t cta, barrier, warp; int32_t thread; };
const int atomics = -1;  // the thread of all atomics

struct Cell {
  bool tracked, shared;
  bool many;       // lanes of read.thread's warp read it
  When write, read;
  uint32_t warps;  // that read it since the barrier
};
const size_t page_bytes = 4096;
struct Page { Cell* cells; };  // none of the device's until it is written

Cell* new_cells(bool shared) {
  Cell* cells = new Cell[page_bytes]();
  for (size_t i = 0; i < page_bytes; i++) cells[i].tracked = !shared;
  return cells;
}

std::unordered_map<uintptr_t, Page> pages;
struct { uintptr_t page; Page* found; } recent[4096];
uint32_t launch_first, cta, barriers;  // CTAs are numbered on from launch to launch
uint32_t warp_syncs[32];
bool atomic;

// What a CTA knows of the others: their writes before so many barriers; and which of its
// threads knows it before the next.
using Clock = std::map<uint32_t, uint32_t>;
std::map<const void*, Clock> counted;
Clock seen;
int seen_by;
uint32_t seen_at;
struct Fences { bool any; uint32_t cta, barrier; const void* ticket; } fences[1024];

When now() {
  int t = emu::current;
  return {cta, barriers, warp_syncs[t / 32], atomic ? atomics : t};
}

bool sees(const When& w, int thread) {
  if (w.cta < launch_first) return true;
  if (w.cta != cta) {
    auto s = seen.find(w.cta);
    return s != seen.end() && w.barrier < s->second && (barriers > seen_at || thread == seen_by);
  }
  if (w.barrier < barriers || w.thread == thread) return true;
  return w.thread != atomics && thread != atomics && w.thread / 32 == thread / 32 && w.warp < warp_syncs[thread / 32];
}

Page* page_of(uintptr_t at) {
  uintptr_t n = at / page_bytes;
  auto& r = recent[n % 4096];
  if (r.page != n) {
    auto p = pages.find(n);
    r = {n, p == pages.end() ? nullptr : &p->second};
  }
  return r.found;
}

void report(const char* what, const void* p, const When& other, const char* did) {
  auto t = emu::fibers[emu::current].thread;
  emu::set_failure("a race: thread %u of CTA %u,%u,%u %s %p, which thread %d of %s %s, and nothing orders them", t.x,
                   emu::block_index.x, emu::block_index.y, emu::block_index.z, what, p, other.thread, other.cta == cta ? "it" : "another CTA", did);
}

void touch(const void* p, size_t bytes, bool write) {
  uintptr_t at = (uintptr_t)p;
  Page* page = launch_first ? page_of(at) : nullptr;
  if (!page || (!page->cells && !write)) return;
  if (size_t here = page_bytes - at % page_bytes; bytes > here) {
    touch((char*)p + here, bytes - here, write);
    bytes = here;
  }
  if (!page->cells) page->cells = new_cells(false);
  When me = now();
  int warp = emu::current / 32;
  for (Cell* c = page->cells + at % page_bytes; bytes > 0; c++, bytes--) {
    if (!c->tracked || (atomic && !c->shared)) continue;
    if (c->write.cta >= (c->shared ? cta : launch_first) && !sees(c->write, me.thread)) report(write ? "writes" : "reads", p, c->write, "wrote");
    bool again = c->shared && c->read.cta == cta && c->read.barrier == barriers; // since the barrier, read
    bool others = again && c->read.thread / 32 == warp && c->read.warp == me.warp && (c->many || c->read.thread != me.thread);
    if (write) {
      if (again && (others || c->warps & ~(1u << warp))) report("writes", p, c->read, "read");
      c->write = me;
    } else if (c->shared && !atomic) {
      c->warps = (again ? c->warps : 0) | 1u << warp;
      c->many = others;
      c->read = me;
    }
  }
}

}  // namespace

namespace emu {

void track(const void* p, size_t bytes, bool shared) {
  for (uintptr_t n = (uintptr_t)p / page_bytes; n <= ((uintptr_t)p + bytes - 1) / page_bytes; n++) {
    Page& page = pages[n];
    recent[n % 4096] = {};
    if (!shared) continue;
    if (!page.cells) page.cells = new_cells(true);
    for (size_t i = 0; i < page_bytes; i++) {
      uintptr_t at = n * page_bytes + i;
      if (at >= (uintptr_t)p && at < (uintptr_t)p + bytes) page.cells[i].tracked = page.cells[i].shared = true;
    }
  }
}

void forget(const void* p, size_t bytes) {
  for (uintptr_t n = (uintptr_t)p / page_bytes; n <= ((uintptr_t)p + bytes - 1) / page_bytes; n++) {
    recent[n % 4096] = {};
    auto at = pages.find(n);
    if (at == pages.end()) continue;
    delete[] at->second.cells;
    pages.erase(at);
  }
}

void race_launch() {
  launch_first = cta + 1;
  counted.clear();
}
void race_end() { launch_first = 0; }
void race_cta() {
  cta++, barriers = 0, atomic = false;
  memset(warp_syncs, 0, sizeof warp_syncs);
  seen.clear();
}
void race_barrier() { barriers++; }
void race_warp(int warp) { warp_syncs[warp]++; }
void race_fence() {
  Fences& f = fences[current];
  if (f.any && f.cta == cta && f.ticket) {
    seen = counted[f.ticket];
    seen_by = current, seen_at = barriers;
  }
  f = {true, cta, barriers, nullptr};
}
void race_count(const void* ticket) {
  Fences& f = fences[current];
  if (f.any && f.cta == cta) counted[ticket][cta] = f.barrier;
  f = {true, cta, f.cta == cta ? f.barrier : 0, ticket};
}
void race_late_write(void* p) { touch(p, 16, true); }
void race_constant(const void* p, size_t bytes) {
  for (uintptr_t at = (uintptr_t)p; at < (uintptr_t)p + bytes; at++) {
    Page* page = page_of(at);
    if (!page || !page->cells) return;
    Cell& c = page->cells[at % page_bytes];
    if (c.write.cta >= launch_first) set_failure("ld.global.nc of %p, which the same launch wrote", p);
  }
}
Atomic::Atomic() { atomic = true; }
Atomic::~Atomic() { atomic = false; }

}  // namespace emu

// What the compiler calls.
extern "C" {
void __tsan_init() {}
#define HOOKS(n)                                          \
  void __tsan_read##n(void* p) { touch(p, n, false); }    \
  void __tsan_write##n(void* p) { touch(p, n, true); }    \
  void __tsan_unaligned_read##n(void* p) { touch(p, n, false); } \
  void __tsan_unaligned_write##n(void* p) { touch(p, n, true); }
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
void __tsan_read_range(void* p, size_t n) { touch(p, n, false); }
void __tsan_write_range(void* p, size_t n) { touch(p, n, true); }
void __tsan_vptr_update(void**, void*) {}
}
