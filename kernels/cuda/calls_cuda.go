//go:build cuda

package cuda

/*
#cgo CFLAGS: -I${SRCDIR}/internal/libcuda
#cgo LDFLAGS: -lcuda -ldl
#cgo noescape launch_all
#cgo nocallback launch_all
#include "libcuda.h"

struct launch {
	CUfunction function;
	unsigned grid[3], block[3], shared, first, n;
};

enum { MAX_PARAMS = 64 };

static CUresult launch_all(CUcontext context, CUstream stream, const struct launch* l, int n, const uint64_t* params) {
	CUresult r = cuCtxSetCurrent(context);
	for (; n > 0 && r == CUDA_SUCCESS; n--, l++) {
		void* p[MAX_PARAMS];
		for (unsigned i = 0; i < l->n; i++) p[i] = (void*)(params + l->first + i);
		r = cuLaunchKernel(l->function, l->grid[0], l->grid[1], l->grid[2], l->block[0], l->block[1], l->block[2], l->shared, stream, p, NULL);
	}
	return r;
}

// time_all launches one after another with an event before and behind each, waits, and
// sets ms to the times between them. events has room for n + 1.
static CUresult time_all(CUcontext context, CUstream stream, const struct launch* l, int n, const uint64_t* params, CUevent* events, float* ms) {
	int made = 0;
	CUresult r = cuCtxSetCurrent(context);
	while (r == CUDA_SUCCESS && made <= n)
		if ((r = cuEventCreate(&events[made], 0)) == CUDA_SUCCESS) made++;
	if (r == CUDA_SUCCESS) r = cuEventRecord(events[0], stream);
	for (int i = 0; i < n && r == CUDA_SUCCESS; i++) {
		r = launch_all(context, stream, l + i, 1, params);
		if (r == CUDA_SUCCESS) r = cuEventRecord(events[i + 1], stream);
	}
	if (r == CUDA_SUCCESS) r = cuStreamSynchronize(stream);
	for (int i = 0; i < n && r == CUDA_SUCCESS; i++) r = cuEventElapsedTime(&ms[i], events[i], events[i + 1]);
	while (made > 0) cuEventDestroy(events[--made]);
	return r;
}

// capture makes an executable graph of launches, or updates the one that
// *handle is, where it is not 0. The capture is ended whatever happens.
static CUresult capture(uintptr_t* handle, CUcontext context, CUstream stream, const struct launch* l, int n, const uint64_t* params) {
	CUgraph graph = NULL;
	CUgraphExec exec = (CUgraphExec)*handle;
	CUresult r = cuCtxSetCurrent(context);
	if (r == CUDA_SUCCESS) r = cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
	if (r != CUDA_SUCCESS) return r;
	r = launch_all(context, stream, l, n, params);
	CUresult ended = cuStreamEndCapture(stream, &graph);
	if (r == CUDA_SUCCESS) r = ended;
	if (r == CUDA_SUCCESS && exec == NULL) {
		r = cuGraphInstantiateWithFlags(&exec, graph, 0);
		*handle = (uintptr_t)exec;
	} else if (r == CUDA_SUCCESS) {
		CUgraphNode node;
		CUgraphExecUpdateResult why;
		r = cuGraphExecUpdate(exec, graph, &node, &why);
	}
	if (graph) cuGraphDestroy(graph);
	return r;
}

static CUresult launch_graph(CUcontext context, uintptr_t exec, CUstream stream) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuGraphLaunch((CUgraphExec)exec, stream);
}

static CUresult free_graph(CUcontext context, uintptr_t exec) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuGraphExecDestroy((CUgraphExec)exec);
}

static CUresult alloc(CUcontext context, CUdeviceptr* p, size_t n, CUstream stream) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuMemAllocAsync(p, n, stream);
}

static CUresult release(CUcontext context, CUdeviceptr p, CUstream stream) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuMemFreeAsync(p, stream);
}

static CUresult alloc_host(CUcontext context, void** p, size_t n) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuMemHostAlloc(p, n, 0);
}

static CUresult free_host(CUcontext context, void* p) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuMemFreeHost(p);
}

static CUresult allow_shared(CUcontext context, uintptr_t f, int bytes) {
	CUresult r = cuCtxSetCurrent(context);
	return r ? r : cuFuncSetAttribute((CUfunction)f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// status returns why there is no driver to use, nil if there is one.
func status() error {
	var why *C.char
	r := C.libcuda_status(&why)
	if text := C.GoString(why); text != "" {
		return fmt.Errorf("no CUDA driver: %s", text)
	}
	return callError("cuInit", r)
}

// callError is a call's error with the driver's text, nil where it succeeded.
func callError(name string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return failure(name, int(r))
}

func failure(name string, code int) error {
	if code == C.CUDA_ERROR_OUT_OF_MEMORY {
		return fmt.Errorf("%s: %w (CUDA error %d)", name, errNoMemory, code)
	}
	var text *C.char
	if C.cuGetErrorString(C.CUresult(code), &text) != C.CUDA_SUCCESS || text == nil {
		return fmt.Errorf("%s: CUDA error %d", name, code)
	}
	return fmt.Errorf("%s: %s (CUDA error %d)", name, C.GoString(text), code)
}

func (b *binding) c() (C.CUcontext, C.CUstream) {
	return *(*C.CUcontext)(unsafe.Pointer(&b.context)), *(*C.CUstream)(unsafe.Pointer(&b.stream))
}

func cLaunches(l []launch, params []uint64) (*C.struct_launch, C.int, *C.uint64_t) {
	return (*C.struct_launch)(unsafe.Pointer(unsafe.SliceData(l))), C.int(len(l)), (*C.uint64_t)(unsafe.SliceData(params))
}

func (b *binding) Launch(l []launch, params []uint64) error {
	context, stream := b.c()
	first, n, words := cLaunches(l, params)
	return callError("cuLaunchKernel", C.launch_all(context, stream, first, n, words))
}

func (b *binding) Timed(l []launch, params []uint64) ([]float64, error) {
	context, stream := b.c()
	first, n, words := cLaunches(l, params)
	events, ms := make([]C.CUevent, len(l)+1), make([]C.float, len(l)+1)
	if err := callError("timing of launches", C.time_all(context, stream, first, n, words, &events[0], &ms[0])); err != nil {
		return nil, err
	}
	seconds := make([]float64, len(l))
	for i := range seconds {
		seconds[i] = float64(ms[i]) / 1e3
	}
	return seconds, nil
}

func (b *binding) Capture(l []launch, params []uint64) (graph, error) {
	context, stream := b.c()
	first, n, words := cLaunches(l, params)
	var exec C.uintptr_t
	err := callError("capture of a graph", C.capture(&exec, context, stream, first, n, words))
	return graph(exec), err
}

func (b *binding) Update(g graph, l []launch, params []uint64) (ok bool, err error) {
	context, stream := b.c()
	first, n, words := cLaunches(l, params)
	exec := C.uintptr_t(g)
	r := C.capture(&exec, context, stream, first, n, words)
	if r == C.CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE {
		return false, nil
	}
	return r == C.CUDA_SUCCESS, callError("update of a graph", r)
}

func (b *binding) LaunchGraph(g graph) error {
	context, stream := b.c()
	return callError("cuGraphLaunch", C.launch_graph(context, C.uintptr_t(g), stream))
}

func (b *binding) FreeGraph(g graph) error {
	context, _ := b.c()
	return callError("cuGraphExecDestroy", C.free_graph(context, C.uintptr_t(g)))
}

func (b *binding) Alloc(n int) (address, error) {
	context, stream := b.c()
	var p C.CUdeviceptr
	err := callError("cuMemAllocAsync", C.alloc(context, &p, C.size_t(n), stream))
	return address(p), err
}

func (b *binding) Free(p address) error {
	context, stream := b.c()
	return callError("cuMemFreeAsync", C.release(context, C.CUdeviceptr(p), stream))
}

func (b *binding) AllocHost(n int) ([]byte, error) {
	context, _ := b.c()
	var p unsafe.Pointer
	if err := callError("cuMemHostAlloc", C.alloc_host(context, &p, C.size_t(n))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), n), nil
}

func (b *binding) FreeHost(m []byte) error {
	context, _ := b.c()
	return callError("cuMemFreeHost", C.free_host(context, unsafe.Pointer(unsafe.SliceData(m))))
}

func (b *binding) AllowShared(f function, bytes int) error {
	context, _ := b.c()
	return callError("cuFuncSetAttribute", C.allow_shared(context, C.uintptr_t(f), C.int(bytes)))
}
