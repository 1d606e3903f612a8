// Keeps the GPU busy for so many nanoseconds, while the host gives it what is to follow
// without a gap (trace.go). Grid [1] of one thread.
#include "gpu.h"

extern "C" __global__ void wait_ns(int64_t n) {
  for (uint64_t start = nanoseconds(); nanoseconds() - start < (uint64_t)n;) {}
}
