// fake_memory.h - the stand-in device's memory: host memory between pages that fault,
// so that a kernel which leaves its allocation ends with CUDA_ERROR_ILLEGAL_ADDRESS.
#pragma once
#include <map>
#include "races.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace fake {

struct Allocation { size_t bytes; char* map; size_t mapped; };

constexpr size_t page = 4096, alignment = 256;  // alignment as the driver's
constexpr unsigned char unwritten = 0xA5, tail = 0x5A;

inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

struct Memory {
  size_t total = (size_t)4 << 30, used = 0;
  std::map<char*, Allocation> allocations;

  // left is what alloc may still take; tests make total smaller at any time.
  size_t left() const { return total > used ? total - used : 0; }

  // alloc returns memory that holds no zeros, nullptr where there is none left. Its
  // end, rounded up to `alignment`, meets a page that faults.
  char* alloc(size_t bytes) {
    if (bytes > left()) return nullptr;
    size_t inside = round_up(round_up(bytes, alignment), page), mapped = inside + 2 * page;
    char* map = (char*)mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, inside, PROT_READ | PROT_WRITE)) abort();
    char* p = map + page + inside - round_up(bytes, alignment);
    memset(p, unwritten, bytes);
    memset(p + bytes, tail, round_up(bytes, alignment) - bytes);
    allocations[p] = {bytes, map, mapped};
    used += bytes;
    emu::track(p, bytes, false);
    return p;
  }

  // free reports whether p was an allocation's start.
  bool free(char* p) {
    auto it = allocations.find(p);
    if (it == allocations.end()) return false;
    used -= it->second.bytes;
    emu::forget(p, it->second.bytes);
    munmap(it->second.map, it->second.mapped);
    allocations.erase(it);
    return true;
  }

  // holds reports whether the bytes at p lie in one allocation.
  bool holds(const void* p, size_t bytes) const {
    auto it = allocations.upper_bound((char*)p);
    if (it == allocations.begin()) return false;
    auto& [start, a] = *--it;
    size_t from = (char*)p - start;
    return from <= a.bytes && bytes <= a.bytes - from;
  }

  // overrun returns an allocation whose tail was written, nullptr if there is none.
  const char* overrun() const {
    for (auto& [p, a] : allocations)
      for (size_t i = a.bytes; i < round_up(a.bytes, alignment); i++)
        if ((unsigned char)p[i] != tail) return p;
    return nullptr;
  }

  // describe tells where p lies, for messages.
  void describe(char* text, size_t size, const void* p) const {
    auto it = allocations.upper_bound((char*)p);
    if (it == allocations.begin()) {
      snprintf(text, size, "%p, before all allocations", p);
      return;
    }
    auto& [start, a] = *--it;
    snprintf(text, size, "%p, at byte %zd of an allocation of %zu", p, (char*)p - start, a.bytes);
  }
};

}  // namespace fake
