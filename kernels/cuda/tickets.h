// CTAs that share a result count themselves, and the last one puts it together: what
// else would take a second launch. The words that they count in (maxTickets in cuda.go)
// are zero before a kernel and after it.
#pragma once
#include "gpu.h"

// last_of says whether this CTA is the last of n to come here, to all its threads. The
// last sees what the others wrote before. shared is a word of shared memory that
// nobody uses.
//
// All threads' writes are fenced before one of them counts for all, and what is read is
// fenced behind; the barriers carry the order from thread to thread.
DEV bool last_of(int n, int* ticket, int* shared) {
  fence_device();
  sync_block();
  if (threadIdx.x == 0) {
    *shared = atomic_add(ticket, 1) == n - 1;
    if (*shared) *ticket = 0;
  }
  sync_block();
  fence_device();
  return *shared;
}
