// fake_driver.cpp - a libcuda.so.1 for tests without a GPU: memory is the host's,
// kernels run in the emulator, under the names that a module's PTX has.
//
// It is lazy: what a stream is given runs when somebody waits for it, so a missing
// wait is seen. Its rules are those of the driver: calls need a current context, a
// copy stays inside one allocation, a fault makes all later calls fail until the
// context is destroyed, and while a stream is captured nothing may wait.
//
// Tests set, in the environment, before any call:
//   LLMQAT_EMU_SEED=n                 the emulator's schedule
//   LLMQAT_FAKECUDA=memory=BYTES      the device's memory
//   LLMQAT_FAKECUDA=shared=BYTES      what shared memory a CTA may have
//   LLMQAT_FAKECUDA=FUNCTION=ERROR@N  FUNCTION's N-th call from now on gives ERROR, a number;
//                                     "run" is the running of a kernel
#include "fake_launch.h"
#include "fake_ptx.h"
#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>

struct CUctx_st {};
struct CUmod_st { std::string ptx; };
struct CUfunc_st {
  const emu::Kernel* kernel;
  unsigned shared;       // static
  unsigned max_dynamic;
};
struct CUgraph_st { std::vector<fake::Launch> launches; };
struct CUgraphExec_st { std::vector<fake::Launch> launches; };
struct CUstream_st {
  std::deque<std::function<CUresult()>> queue;
  CUgraph capture = nullptr;
};
struct CUevent_st {
  CUstream stream;
  std::shared_ptr<std::chrono::steady_clock::time_point> at;  // null before it is recorded, zero until the stream comes to it

  bool reached() const { return *at != std::chrono::steady_clock::time_point{}; }
};

namespace fake {
namespace {

std::recursive_mutex mutex;
CUcontext context;  // at most one
thread_local CUcontext current;
CUresult broken;  // what every call returns since a fault
CUstream_st null_stream;
std::map<char*, size_t> pinned;
const unsigned sm90_shared = 227 << 10;
unsigned max_shared = sm90_shared;  // of a CTA

// Injection is LLMQAT_FAKECUDA, read at every call.
struct Injection {
  std::string text, function;
  int error = 0;
  long left = 0;

  CUresult of(const char* name) {
    const char* now = getenv("LLMQAT_FAKECUDA");
    if (text != (now ? now : "")) read(now ? now : "");
    if (left == 0 || function != name || --left > 0) return CUDA_SUCCESS;
    return (CUresult)error;
  }

  void read(const char* from) {
    text = from;
    left = 0;
    memory.total = (size_t)4 << 30;
    max_shared = sm90_shared;
    char name[64];
    if (sscanf(from, "memory=%zu", &memory.total) == 1 || sscanf(from, "shared=%u", &max_shared) == 1) return;
    if (sscanf(from, "%63[^=]=%d@%ld", name, &error, &left) == 3) function = name;
  }
} injection;

CUresult enter(const char* name) {
  if (CUresult r = injection.of(name)) return r;
  if (broken) return broken;
  return current && current == context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

// ENTER begins a function of the driver that needs a context.
#define ENTER                                        \
  std::lock_guard<std::recursive_mutex> lock(mutex); \
  if (CUresult r = enter(__func__)) return r

CUresult check(CUresult r) {
  if (r) broken = r;
  return r;
}

CUstream_st& stream_of(CUstream s) { return s ? *s : null_stream; }

// drain runs a stream's work until ready, or all.
CUresult drain(CUstream_st& s, std::function<bool()> ready = [] { return false; }) {
  if (s.capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  while (!s.queue.empty() && !ready()) {
    auto op = std::move(s.queue.front());
    s.queue.pop_front();
    if (CUresult r = op()) return s.queue.clear(), check(r);
  }
  return CUDA_SUCCESS;
}

CUresult add(CUstream stream, std::function<CUresult()> op) {
  CUstream_st& s = stream_of(stream);
  if (s.capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  s.queue.push_back(std::move(op));
  return CUDA_SUCCESS;
}

CUresult run_launch(const Launch& l) {
  if (CUresult r = injection.of("run")) return r;
  const char* seed = getenv("LLMQAT_EMU_SEED");
  emu::seed = seed ? (unsigned)atoi(seed) : 1;
  return run(l);
}

bool is_pinned(const void* p) {
  auto it = pinned.upper_bound((char*)p);
  return it != pinned.begin() && (char*)p < (--it)->first + it->second;
}

// drop forgets the context's memory and streams' work.
void drop() {
  while (!memory.allocations.empty()) memory.free(memory.allocations.begin()->first);
  null_stream = {};
  broken = CUDA_SUCCESS;
  context = current = nullptr;
}

}  // namespace
}  // namespace fake

using namespace fake;

extern "C" {

CUresult cuInit(unsigned) { return injection.of("cuInit"); }
CUresult cuDriverGetVersion(int* v) { return *v = 13000, CUDA_SUCCESS; }

CUresult cuGetErrorString(CUresult error, const char** text) {
  switch (error) {
    case CUDA_SUCCESS: *text = "no error"; break;
    case CUDA_ERROR_INVALID_VALUE: *text = "invalid argument"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; break;
    case CUDA_ERROR_NO_DEVICE: *text = "no CUDA-capable device is detected"; break;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "invalid device context"; break;
    case CUDA_ERROR_ECC_UNCORRECTABLE: *text = "uncorrectable ECC error encountered"; break;
    case CUDA_ERROR_NOT_FOUND: *text = "named symbol not found"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    case CUDA_ERROR_MISALIGNED_ADDRESS: *text = "misaligned address"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *text = "unspecified launch failure"; break;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: *text = "operation not permitted when stream is capturing"; break;
    case CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE: *text = "the graph update was not performed because it included changes which violated constraints"; break;
    default: return *text = nullptr, CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* n) { return *n = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* d, int i) { return *d = 0, i == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE; }
CUresult cuDeviceGetName(char* s, int n, CUdevice) { return snprintf(s, n, "emulator"), CUDA_SUCCESS; }
CUresult cuDeviceTotalMem(size_t* n, CUdevice) { return *n = memory.total, CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int* v, CUdevice_attribute a, CUdevice) {
  if (CUresult r = injection.of(__func__)) return r;
  switch (a) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *v = 0; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *v = 3; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *v = max_shared; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult cuCtxCreate(CUcontext* c, unsigned, CUdevice) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (CUresult r = injection.of(__func__)) return r;
  if (context) return CUDA_ERROR_CONTEXT_ALREADY_IN_USE;
  *c = current = context = new CUctx_st;
  return CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext c) { return current = c, CUDA_SUCCESS; }
CUresult cuCtxDestroy(CUcontext c) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (!c || c != context) return CUDA_ERROR_INVALID_CONTEXT;
  drop();
  delete c;
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* m, const void* image) {
  ENTER;
  std::string ptx = (const char*)image;
  int target = ptx_target(ptx);
  if (target == 0) return CUDA_ERROR_INVALID_IMAGE;
  if (target > 90) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  *m = new CUmod_st{ptx};
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule m) { return delete m, CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* f, CUmodule m, const char* name) {
  ENTER;
  auto* k = ptx_kernel(m->ptx, name);
  if (!k) return CUDA_ERROR_NOT_FOUND;
  unsigned shared = ptx_shared(m->ptx, name);
  *f = new CUfunc_st{k, shared, (48 << 10) - shared};
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int v) {
  ENTER;
  if (a != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || v < 0 || v + f->shared > max_shared) return CUDA_ERROR_INVALID_VALUE;
  f->max_dynamic = v;
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s, void** params, void** extra) {
  ENTER;
  unsigned long threads = (unsigned long)bx * by * bz;
  if (!gx || !gy || !gz || gx > 0x7fffffff || gy > 65535 || gz > 65535 || !threads || threads > 1024 || bz > 64 || shared > f->max_dynamic || extra) return CUDA_ERROR_INVALID_VALUE;
  Launch l{f->kernel, {gx, gy, gz}, {bx, by, bz}, shared, {}};
  for (size_t i = 0; i < f->kernel->sizes.size(); i++) {
    uint64_t word = 0;
    memcpy(&word, params[i], f->kernel->sizes[i]);
    l.params.push_back(word);
  }
  if (CUgraph g = stream_of(s).capture) return g->launches.push_back(l), CUDA_SUCCESS;
  return add(s, [l] { return run_launch(l); });
}

CUresult cuStreamCreate(CUstream* s, unsigned) {
  ENTER;
  *s = new CUstream_st;
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream s) {
  ENTER;
  CUresult r = drain(*s);
  delete s;
  return r;
}
CUresult cuStreamSynchronize(CUstream s) {
  ENTER;
  return drain(stream_of(s));
}

CUresult cuEventCreate(CUevent* e, unsigned) {
  ENTER;
  *e = new CUevent_st{};
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent e) { return delete e, CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent e, CUstream s) {
  ENTER;
  e->stream = s;
  auto at = e->at = std::make_shared<std::chrono::steady_clock::time_point>();
  return add(s, [at] { return *at = std::chrono::steady_clock::now(), CUDA_SUCCESS; });
}
CUresult cuEventElapsedTime(float* ms, CUevent from, CUevent to) {
  ENTER;
  if (!from->at || !to->at) return CUDA_ERROR_INVALID_HANDLE;
  if (!from->reached() || !to->reached()) return CUDA_ERROR_NOT_READY;
  return *ms = std::chrono::duration<float, std::milli>(*to->at - *from->at).count(), CUDA_SUCCESS;
}
CUresult cuEventSynchronize(CUevent e) {
  ENTER;
  if (!e->at) return CUDA_SUCCESS;  // never recorded
  return drain(stream_of(e->stream), [e] { return e->reached(); });
}

CUresult cuStreamBeginCapture(CUstream s, CUstreamCaptureMode) {
  ENTER;
  if (!s || s->capture) return CUDA_ERROR_ILLEGAL_STATE;
  s->capture = new CUgraph_st;
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream s, CUgraph* g) {
  ENTER;
  *g = s->capture;
  s->capture = nullptr;
  return *g ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_STATE;
}
CUresult cuGraphDestroy(CUgraph g) { return delete g, CUDA_SUCCESS; }
CUresult cuGraphInstantiateWithFlags(CUgraphExec* e, CUgraph g, unsigned long long) {
  ENTER;
  *e = new CUgraphExec_st{g->launches};
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec e) { return delete e, CUDA_SUCCESS; }
CUresult cuGraphExecUpdate(CUgraphExec e, CUgraph g, CUgraphNode*, CUgraphExecUpdateResult* result) {
  ENTER;
  bool same = std::equal(e->launches.begin(), e->launches.end(), g->launches.begin(), g->launches.end(),
                         [](auto& a, auto& b) { return a.kernel == b.kernel; });
  *result = same ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
  if (!same) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  e->launches = g->launches;
  return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec e, CUstream s) {
  ENTER;
  for (auto& l : e->launches)
    if (CUresult r = add(s, [l] { return run_launch(l); })) return r;
  return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  ENTER;
  return *free = memory.left(), *total = memory.total, CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr* p, size_t n) {
  ENTER;
  if (n == 0) return CUDA_ERROR_INVALID_VALUE;
  *p = (CUdeviceptr)memory.alloc(n);
  return *p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemAllocAsync(CUdeviceptr* p, size_t n, CUstream) {
  ENTER;
  if (n == 0) return CUDA_ERROR_INVALID_VALUE;
  *p = (CUdeviceptr)memory.alloc(n);
  return *p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemFree(CUdeviceptr p) {
  ENTER;
  return memory.free((char*)p) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemFreeAsync(CUdeviceptr p, CUstream s) {
  ENTER;
  return add(s, [p] { return memory.free((char*)p) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}
CUresult cuMemHostAlloc(void** p, size_t n, unsigned) {
  ENTER;
  *p = malloc(n);
  pinned[(char*)*p] = n;
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void* p) {
  ENTER;
  if (!pinned.erase((char*)p)) return CUDA_ERROR_INVALID_VALUE;
  free(p);
  return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr p, unsigned char v, size_t n, CUstream s) {
  ENTER;
  if (!memory.holds((void*)p, n)) return CUDA_ERROR_INVALID_VALUE;
  return add(s, [=] { return memset((void*)p, v, n), CUDA_SUCCESS; });
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr dst, const void* src, size_t n, CUstream s) {
  ENTER;
  if (!memory.holds((void*)dst, n)) return CUDA_ERROR_INVALID_VALUE;
  if (is_pinned(src)) return add(s, [=] { return memcpy((void*)dst, src, n), CUDA_SUCCESS; });
  std::vector<char> staged((const char*)src, (const char*)src + n);  // the driver's own staging
  return add(s, [=, staged = std::move(staged)] { return memcpy((void*)dst, staged.data(), n), CUDA_SUCCESS; });
}
CUresult cuMemcpyDtoHAsync(void* dst, CUdeviceptr src, size_t n, CUstream s) {
  ENTER;
  if (!memory.holds((void*)src, n)) return CUDA_ERROR_INVALID_VALUE;
  if (is_pinned(dst)) return add(s, [=] { return memcpy(dst, (void*)src, n), CUDA_SUCCESS; });
  if (CUresult r = drain(stream_of(s))) return r;
  return memcpy(dst, (void*)src, n), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr dst, CUdeviceptr src, size_t n, CUstream s) {
  ENTER;
  if (!memory.holds((void*)dst, n) || !memory.holds((void*)src, n)) return CUDA_ERROR_INVALID_VALUE;
  return add(s, [=] { return memmove((void*)dst, (void*)src, n), CUDA_SUCCESS; });
}

}  // extern "C"
