// fake_launch.h - runs one launch in the emulator, and turns the processor's faults
// into the errors that a GPU would give.
#pragma once
#include "../internal/libcuda/cuda.h"
#include "emu.h"
#include "fake_memory.h"
#include "registry.h"
#include <signal.h>
#include <ucontext.h>

namespace fake {

struct Launch {
  const emu::Kernel* kernel;
  emu::Dim grid, block;
  unsigned shared;
  std::vector<uint64_t> params;
};

inline Memory memory;
inline bool in_kernel;
inline CUresult fault;
inline struct sigaction before[3];
constexpr int signals[3] = {SIGSEGV, SIGBUS, SIGILL};

// on_fault sends the kernel's thread back to the scheduler. SIGILL is what g++'s
// check of alignment ends with.
inline void on_fault(int signal, siginfo_t* info, void* context) {
  auto* c = (ucontext_t*)context;
  if (!in_kernel) {
    for (int i = 0; i < 3; i++) sigaction(signals[i], &before[i], nullptr);
    return;  // and fault again
  }
  char where[128] = "a vector load or store from an address that is no multiple of its size";
  if (signal != SIGILL) memory.describe(where, sizeof where, info->si_addr);
  fault = signal == SIGILL ? CUDA_ERROR_MISALIGNED_ADDRESS : CUDA_ERROR_ILLEGAL_ADDRESS;
  auto t = emu::fibers[emu::current].thread;
  emu::set_failure("%s by thread %u,%u,%u of CTA %u,%u,%u", where, t.x, t.y, t.z, emu::block_index.x, emu::block_index.y, emu::block_index.z);
  c->uc_mcontext.gregs[REG_RIP] = (greg_t)(void*)emu::to_scheduler;
  c->uc_mcontext.gregs[REG_RSP] = ((c->uc_mcontext.gregs[REG_RSP] - 256) & ~15) - 8;
}

inline CUresult run(const Launch& l) {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < 3; i++) sigaction(signals[i], &action, &before[i]);
  fault = CUDA_ERROR_LAUNCH_FAILED;
  in_kernel = true;
  bool ok = emu::launch(l.grid, l.block, l.shared, [&] { l.kernel->run(l.params.data()); });
  in_kernel = false;
  for (int i = 0; i < 3; i++) sigaction(signals[i], &before[i], nullptr);
  if (ok && memory.overrun()) {
    emu::set_failure("a write past the end of an allocation, at %p", memory.overrun());
    fault = CUDA_ERROR_ILLEGAL_ADDRESS;
    ok = false;
  }
  if (ok) return CUDA_SUCCESS;
  fprintf(stderr, "fake driver: %s: %s\n", l.kernel->name.c_str(), emu::failure);
  return fault;
}

}  // namespace fake
