// libcuda.c - stands in for libcuda.so.1 when a binary is linked. Every driver function
// is a jump through a slot; cuInit opens the real library and fills the slots, so one
// binary starts with or without a driver. cuInit itself always succeeds: the init
// function of gorgonia.org/cu ends the process where it does not. libcuda_status
// says how it really went.
#include "cuda.h"
#include "libcuda.h"
#include <dlfcn.h>
#include <stdio.h>

static CUresult status = CUDA_ERROR_NOT_INITIALIZED;
static char reason[512];

CUresult libcuda_status(const char** why) {
  *why = reason;
  return status;
}

static int unavailable(void) { return CUDA_ERROR_NOT_SUPPORTED; }

// symbols.h is X(name) for each prototype of cuda.h but cuInit; SLOT and the like get
// the name that the driver exports.
#define X(name) SLOT(name)
#define SLOT(name) void* libcuda_##name = (void*)unavailable;
#include "symbols.h"
#undef SLOT
#define SLOT(name) __asm__(".globl " #name "\n.type " #name ",@function\n" #name ": jmp *libcuda_" #name "(%rip)\n");
#include "symbols.h"
#undef SLOT
#define SLOT(name) if ((function = dlsym(library, #name))) libcuda_##name = function;

CUresult cuInit(unsigned flags) {
  const char* path = getenv("LLMQAT_LIBCUDA");
  if (!path || !*path) path = "libcuda.so.1";
  status = CUDA_ERROR_NO_DEVICE;
  // Kernels take the GPU's memory when they are loaded, not when one is first launched.
  setenv("CUDA_MODULE_LOADING", "EAGER", 0);
  void *function, *library = dlopen(path, RTLD_NOW);
  if (!library) {
    snprintf(reason, sizeof reason, "%s", dlerror());
    return CUDA_SUCCESS;
  }
  CUresult (*init)(unsigned) = (CUresult (*)(unsigned))dlsym(library, "cuInit");
  if (!init) {
    snprintf(reason, sizeof reason, "%s has no cuInit", path);
    return CUDA_SUCCESS;
  }
#include "symbols.h"
  status = init(flags);
  return CUDA_SUCCESS;
}
