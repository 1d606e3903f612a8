// CTAs that share a result count themselves, and the last one puts it together: what
// else would take a second launch. The words that they count in (maxTickets in cuda.go)
// are zero before a kernel and after it.
#pragma once
#include "gpu.h"

// last_of says whether this CTA is the last of n to come here, to all its threads. The
// last sees what the others wrote before. shared is a word of shared memory that
// nobody uses.
//
// The barrier brings all threads' writes before one thread's fence, which orders them with
// its count; behind the count it is the same the other way round. A fence of each thread
// before the barrier would order none but those of the thread that counts.
DEV bool last_of(int n, int* ticket, int* shared) {
  sync_block();
  if (threadIdx.x == 0) {
    fence_device();
    bool last = atomic_add(ticket, 1) == n - 1;
    fence_device();
    if (last) *ticket = 0;
    *shared = last;
  }
  sync_block();
  return *shared;
}
