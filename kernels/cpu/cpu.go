// Package cpu is the kernels.Device of the host's processor: it splits each
// operator over a fixed set of workers, and each worker runs an isa's inner loops.
// Every isa gives the bits of the generic one.
package cpu

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
)

// Device runs operators on the host, at once: nothing is queued.
type Device struct {
	isa  *isa
	pool *pool
	err  error // first failure since the last Sync

	embed     embedTask
	linear    linearTask
	rows      rowsTask
	attention attentionTask
	matmul    matmulTask
	spans     spansTask
	train     trainTasks
}

var _ kernels.TrainDevice = (*Device)(nil)

// New returns a device of the given number of workers, 0 for GOMAXPROCS, that
// runs the named instruction set, "" for $LLMQAT_ISA or else the fastest here. It
// is released by Close.
func New(workers int, isaName string) (*Device, error) {
	k, err := choose(isaName)
	if err != nil {
		return nil, err
	}
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if workers < 1 || workers > 1024 {
		return nil, fmt.Errorf("cpu: %d threads; want 1 to 1024, or 0 for one a core", workers)
	}
	return &Device{isa: k, pool: newPool(workers), attention: attentionTask{room: maxParts}}, nil
}

// Close stops the workers.
func (d *Device) Close() { d.pool.close() }

// Name returns "cpu/" and the instruction set.
func (d *Device) Name() string { return "cpu/" + d.isa.name }

// Workers returns the number of threads that share an operator.
func (d *Device) Workers() int { return d.pool.workers }

// host is memory that the processor addresses: bytes on a 64-byte boundary, or an
// imported region.
type host []byte

func (h host) Bytes() int { return len(h) }

// Alloc returns zeroed memory. It fails only where n is absurd: the Go runtime
// ends the process when the machine has no more, so callers plan memory first.
func (d *Device) Alloc(n int) (kernels.Mem, error) {
	if n < 0 || n > 1<<46 {
		return nil, fmt.Errorf("cpu: allocation of %d bytes", n)
	}
	b := make([]byte, n+63)
	adviseHuge(b)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 63
	return host(b[skip : skip+n]), nil
}

// Import returns b itself as memory.
func (d *Device) Import(b []byte, _ func(int64)) (kernels.Mem, error) { return host(b), nil }

// Free does nothing: the garbage collector does.
func (d *Device) Free(kernels.Mem) {}

// Upload copies src to dst at byte off.
func (d *Device) Upload(dst kernels.Mem, off int, src []byte) {
	copy(dst.(host)[off:off+len(src)], src)
}

// Download copies from src at byte off to dst.
func (d *Device) Download(dst []byte, src kernels.Mem, off int) {
	copy(dst, src.(host)[off:off+len(dst)])
}

// CopyMem copies n bytes from src to dst.
func (d *Device) CopyMem(dst kernels.Mem, off int, src kernels.Mem, srcOff, n int) {
	copy(dst.(host)[off:off+n], src.(host)[srcOff:srcOff+n])
}

// Sync returns the first failure since the last Sync.
func (d *Device) Sync() (err error) { err, d.err = d.err, nil; return err }

// fail keeps the first failure.
func (d *Device) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// run has the workers do t's chunks 0..n-1, unless an earlier operator failed.
func (d *Device) run(n int, t task) {
	if d.err != nil || n == 0 {
		return
	}
	if err := d.pool.run(n, t); err != nil {
		d.fail(err)
	}
}

// view returns the elements of b as a slice.
func view[T kernels.Elem](b kernels.Buf[T]) []T {
	if b.N == 0 {
		return nil
	}
	h := b.Mem.(host)[b.Off : b.Off+b.N*kernels.SizeOf[T]()]
	return unsafe.Slice((*T)(unsafe.Pointer(&h[0])), b.N)
}
