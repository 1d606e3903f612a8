// emu.h - runs CUDA kernels on the CPU, one CTA at a time, a fiber a thread.
//
// A thread runs until it meets a barrier or a warp collective; `seed` chooses who
// runs next. Shared memory is poisoned before each CTA. A correct kernel computes
// the same under every seed; a missing barrier or wait shows under some of them.
// It says nothing about speed or bank conflicts. x86-64 and one thread only.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <functional>
#include <sys/mman.h>
#include <utility>
#include <vector>
#include "races.h"

namespace emu {

struct Dim { unsigned x, y, z; };

// Copy is one 16-byte cp.async that was issued and not yet waited for: of zeros where
// src is null.
struct Copy { void* dst; const void* src; };

enum Wait { RUNNABLE, AT_BARRIER, IN_COLLECTIVE };

struct Fiber {
  void* sp;
  bool done;
  Wait wait;
  Dim thread;
  int lane, warp;
  std::vector<Copy> open;                 // not yet committed
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
};

struct Warp {
  int lanes, arrived;
  void (*op)(Warp&);  // what the lanes that arrived wait for
  const void* in[32];
  void* out[32];
};

inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline int current;         // index of the running fiber
inline void* scheduler_sp;
inline Dim block_index, block_dim, grid_dim;
inline const std::function<void()>* body;
inline char* dynamic_shared;
inline size_t dynamic_bytes;

// seed is the schedule: 0 all warps in step, 1 the first warp runs ahead, 2 the
// last warp and the last CTA do, else random.
inline unsigned seed = 1;

// failure says why the running launch ended early; empty if it did not.
inline char failure[256];

inline std::vector<std::pair<void*, size_t>> shared_arrays;
constexpr unsigned char poison = 0xA5;

extern "C" void emu_switch(void** from, void* to);
__asm__(
    ".text\n.weak emu_switch\n.type emu_switch,@function\nemu_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

inline void to_scheduler() { emu_switch(&fibers[current].sp, scheduler_sp); }

inline void set_failure(const char* format, ...) {
  if (failure[0]) return;
  va_list args;
  va_start(args, format);
  vsnprintf(failure, sizeof failure, format, args);
  va_end(args);
}

// fail ends the launch from within a kernel's thread.
template <class... A>
[[noreturn]] void fail(const char* format, A... args) {
  set_failure(format, args...);
  to_scheduler();
  abort();
}

inline void fiber_main() {
  (*body)();
  fibers[current].done = true;
  to_scheduler();
  abort();
}

UNWATCHED inline void barrier() {
  fibers[current].wait = AT_BARRIER;
  to_scheduler();
}

// collective returns when all lanes of the warp have come and op has run once.
UNWATCHED inline void collective(void (*op)(Warp&), const void* in, void* out) {
  Fiber& f = fibers[current];
  Warp& w = warps[f.warp];
  if (w.arrived && w.op != op) fail("lanes of warp %d are in different collectives", f.warp);
  w.op = op;
  w.in[f.lane] = in;
  w.out[f.lane] = out;
  w.arrived++;
  f.wait = IN_COLLECTIVE;
  to_scheduler();
}

constexpr size_t stack_bytes = 64 << 10, guard_bytes = 4096;

// stacks returns n stacks, each above a page that faults.
inline char* stacks(int n) {
  static char* base = nullptr;
  static int have = 0;
  if (n <= have) return base;
  size_t each = stack_bytes + guard_bytes;
  if (base) munmap(base, have * each);
  void* p = mmap(nullptr, n * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) abort();
  base = (char*)p;
  for (int i = 0; i < n; i++) mprotect(base + i * each, guard_bytes, PROT_NONE);
  have = n;
  return base;
}

// step runs every runnable lane of warp w once, and its collective when all are
// there. It reports whether anything ran.
UNWATCHED inline bool step(int w) {
  bool ran = false;
  Warp& warp = warps[w];
  for (int i = w * 32; i < w * 32 + warp.lanes; i++) {
    if (fibers[i].done || fibers[i].wait != RUNNABLE) continue;
    current = i;
    emu_switch(&scheduler_sp, fibers[i].sp);
    if (failure[0]) return false;
    ran = true;
  }
  if (warp.arrived && warp.arrived == warp.lanes) {
    warp.op(warp);
    warp.arrived = 0;
    for (int i = 0; i < warp.lanes; i++) fibers[w * 32 + i].wait = RUNNABLE;
    ran = true;
  }
  return ran;
}

// turn runs some warps, as seed says, and reports whether anything ran.
UNWATCHED inline bool turn(unsigned& random) {
  int n = (int)warps.size();
  bool ran = false;
  if (seed == 0) {
    for (int w = 0; w < n; w++) ran |= step(w);
  } else if (seed <= 2) {
    for (int i = 0; i < n; i++)
      while (step(seed == 1 ? i : n - 1 - i)) ran = true;
  } else {
    random = random * 1664525u + 1013904223u;
    int first = (random >> 8) % n, steps = 1 + (random >> 20) % 64;
    for (int i = 0; i < n && !ran; i++)
      for (int s = 0; s < steps && step((first + i) % n); s++) ran = true;
  }
  return ran;
}

UNWATCHED inline void start_threads(int threads) {
  char* base = stacks(threads);
  fibers.assign(threads, Fiber{});
  warps.assign((threads + 31) / 32, Warp{});
  for (int i = 0; i < threads; i++) {
    Fiber& f = fibers[i];
    f.thread = {i % block_dim.x, i / block_dim.x % block_dim.y, i / (block_dim.x * block_dim.y)};
    f.lane = i % 32;
    f.warp = i / 32;
    warps[f.warp].lanes++;
    void** sp = (void**)(base + (i + 1) * (stack_bytes + guard_bytes));
    *--sp = nullptr;
    *--sp = (void*)fiber_main;
    for (int k = 0; k < 6; k++) *--sp = nullptr;  // the registers emu_switch pops
    f.sp = sp;
  }
}

UNWATCHED inline void run_cta() {
  start_threads(block_dim.x * block_dim.y * block_dim.z);
  race_cta();
  unsigned random = seed * 2654435761u + 1;
  for (;;) {
    bool ran = turn(random);
    if (failure[0]) return;
    int live = 0, at_barrier = 0;
    for (Fiber& f : fibers)
      if (!f.done) live++, at_barrier += f.wait == AT_BARRIER;
    if (live == 0) return;
    if (at_barrier == live) {
      for (Fiber& f : fibers) f.wait = RUNNABLE;
      race_barrier();
    } else if (!ran) {
      set_failure("deadlock: %d threads live, %d at the barrier", live, at_barrier);
      return;
    }
  }
}

// shared makes a static array shared memory: poisoned before each CTA.
template <class T>
T* shared(T* p, size_t bytes) {
  for (auto& a : shared_arrays)
    if (a.first == (void*)p) return p;
  shared_arrays.push_back({(void*)p, bytes});
  track(p, bytes, true);
  memset((void*)p, poison, bytes);
  return p;
}

// launch runs kernel for each thread of the grid and reports whether it got to its
// end; `failure` says why not.
inline bool launch(Dim grid, Dim block, size_t dynamic_size, const std::function<void()>& kernel) {
  alignas(128) static char dynamic[256 << 10];
  dynamic_bytes = dynamic_size;
  dynamic_shared = dynamic;
  track(dynamic, sizeof dynamic, true);
  grid_dim = grid, block_dim = block, body = &kernel;
  failure[0] = 0;
  race_launch();
  unsigned long n = (unsigned long)grid.x * grid.y * grid.z;
  for (unsigned long i = 0; i < n && !failure[0]; i++) {
    unsigned long b = seed == 2 ? n - 1 - i : i;
    block_index = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
    for (auto& [p, bytes] : shared_arrays) memset(p, poison, bytes);
    memset(dynamic_shared, poison, dynamic_bytes);
    run_cta();
  }
  race_end();
  return !failure[0];
}

}  // namespace emu
