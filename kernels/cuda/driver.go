package cuda

import "errors"

// driver is what a Device asks of the CUDA driver: one GPU with one context and one
// stream, on which work runs in the order it was given. Its methods may be called
// from any thread, one at a time. Errors carry the driver's own text.
type driver interface {
	// Capability is the GPU's compute capability, as 9, 0.
	Capability() (major, minor int)
	// Model is what the GPU is sold as.
	Model() string
	// Multiprocessors is the number of SMs.
	Multiprocessors() int
	// SharedPerCTA is the most shared memory that a CTA may have, in bytes, what
	// kernels declare included: 227 KiB on an H100, 99 on the GPUs of desktops.
	SharedPerCTA() int
	MemInfo() (free, total int64, err error)

	// Load compiles PTX and returns a function for each name.
	Load(ptx string, names []string) ([]function, error)
	// AllowShared lets f be launched with up to bytes of dynamic shared memory.
	AllowShared(f function, bytes int) error

	// Alloc returns memory of n > 0 bytes, aligned to 256, with any contents.
	Alloc(n int) (address, error)
	// Free queues the release of what Alloc returned.
	Free(address) error
	Clear(at address, n int) error
	// AllocHost returns page-locked host memory.
	AllocHost(n int) ([]byte, error)
	FreeHost([]byte) error
	// Upload and Download queue copies from and to memory of AllocHost, which must
	// stay as it is until Sync.
	Upload(dst address, src []byte) error
	Download(dst []byte, src address) error
	// Copy queues a copy of n bytes on the GPU.
	Copy(dst, src address, n int) error

	// NewEvent returns a mark, Record queues it, and Await waits until the stream comes
	// to where it was queued last.
	NewEvent() (event, error)
	Record(event) error
	Await(event) error

	// Launch queues launches, whose parameters are words of params.
	Launch(l []launch, params []uint64) error
	// Timed queues launches, waits, and returns the seconds that each took on the GPU: from
	// the end of the one before it, or from its own start, to its end.
	Timed(l []launch, params []uint64) ([]float64, error)
	// Sync waits for all queued work, and returns its first error.
	Sync() error

	// Capture makes a graph of launches, without running them.
	Capture(l []launch, params []uint64) (graph, error)
	// Update gives a graph the parameters of launches of the same functions in the
	// same order. ok is false where they are others.
	Update(g graph, l []launch, params []uint64) (ok bool, err error)
	// LaunchGraph queues a graph's launches.
	LaunchGraph(graph) error
	FreeGraph(graph) error

	// Close releases the context and all that is in it.
	Close() error
}

// address is a byte of the GPU's memory.
type address uint64

// function is a kernel that the driver has loaded.
type function uintptr

// event is a mark in the stream.
type event uintptr

// graph is an executable CUDA graph.
type graph uintptr

// launch is one kernel launch. It has the memory layout of struct launch in
// calls_cuda.go.
type launch struct {
	function    function
	grid, block [3]uint32
	shared      uint32 // bytes of dynamic shared memory
	first, n    uint32 // its words of params
}

// ErrNotBuilt is New's error in a binary that has no CUDA in it.
var ErrNotBuilt = errors.New("built without cuda: build with make cuda")

// errNoMemory is the driver's error where the GPU's memory is full.
var errNoMemory = errors.New("out of memory")
