// races.h - finds accesses of a launch that nothing orders. The compiler calls __tsan_readN
// or __tsan_writeN before each load or store of a kernel (-fsanitize=thread, without its
// library), which look here for who wrote the byte last and, in shared memory, who read it.
//
// By the PTX memory model, a thread sees what another of its CTA did before a barrier that
// both passed, or sync_warp; of another CTA what that did before a barrier, a fence of the
// thread that then counted in an atomic, and this one's fence behind its own: its thread
// at once, the others behind a barrier. Votes, shuffles and products order nothing. So what
// it finds is wrong by the rules, whether or not some GPU would show it; what a thread has
// read of global memory before another writes it shows where CTAs run the other way round.
#pragma once
#include <stddef.h>
#include <stdint.h>

// UNWATCHED is a function of the emulator that touches no memory of a kernel's.
#define UNWATCHED __attribute__((no_sanitize("thread")))

namespace emu {

// track begins to look at a region: of shared memory, or of the device's, whose readers
// are not kept. forget ends it.
void track(const void* p, size_t bytes, bool shared);
void forget(const void* p, size_t bytes);

void race_launch();        // a launch begins
void race_end();           // it ends: what the host does is not looked at
void race_cta();           // a CTA begins
void race_barrier();       // all its threads have come to a barrier
void race_warp(int warp);  // all lanes of a warp have come to sync_warp

// What the running thread does: fence_device; an atomic that returns a count; a cp.async of 16
// bytes, which may write from then on; ld.global.nc.
void race_fence();
void race_count(const void* ticket);
void race_late_write(void* p);
void race_constant(const void* p, size_t bytes);

// Atomic is there while the running thread does an atomic. In shared memory atomics are
// ordered with each other only; in global memory they are not looked at.
struct Atomic {
  Atomic();
  ~Atomic();
};

}  // namespace emu
