//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// binding is the driver through gorgonia.org/cu, and through calls_cuda.go where
// that lacks a function or is slow.
type binding struct {
	context                     cu.CUContext
	stream                      cu.Stream
	major, minor, procs, shared int
	model                       string
}

// sharedPerCTA is CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN.
const sharedPerCTA cu.DeviceAttribute = 97

func openDriver(ordinal int) (driver, error) {
	if err := status(); err != nil {
		return nil, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, explain("cuDeviceGetCount", err)
	}
	if ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("no GPU %d: there are %d", ordinal, n)
	}
	runtime.LockOSThread() // MakeContext makes it this thread's
	defer runtime.UnlockOSThread()
	device := cu.Device(ordinal)
	b := &binding{}
	if b.model, err = device.Name(); err != nil {
		return nil, explain("cuDeviceGetName", err)
	}
	for _, a := range []struct {
		value *int
		which cu.DeviceAttribute
	}{{&b.major, cu.ComputeCapabilityMajor}, {&b.minor, cu.ComputeCapabilityMinor}, {&b.procs, cu.MultiprocessorCount}, {&b.shared, sharedPerCTA}} {
		if *a.value, err = device.Attribute(a.which); err != nil {
			return nil, explain("cuDeviceGetAttribute", err)
		}
	}
	if b.context, err = device.MakeContext(cu.SchedAuto); err != nil {
		return nil, explain("cuCtxCreate", err)
	}
	if b.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		return nil, errors.Join(explain("cuStreamCreate", err), b.context.Destroy())
	}
	return b, nil
}

// in calls a function of gorgonia.org/cu with the context current.
func (b *binding) in(name string, call func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(b.context); err != nil {
		return explain("cuCtxSetCurrent", err)
	}
	return explain(name, call())
}

// explain puts the driver's words for an error of gorgonia.org/cu, whose own are
// names and whose type is unexported, an integer.
func explain(name string, err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if v := reflect.ValueOf(e); v.CanInt() {
			return failure(name, int(v.Int()))
		}
	}
	return err
}

func (b *binding) Capability() (major, minor int) { return b.major, b.minor }
func (b *binding) Model() string                  { return b.model }
func (b *binding) Multiprocessors() int           { return b.procs }
func (b *binding) SharedPerCTA() int              { return b.shared }

func (b *binding) MemInfo() (free, total int64, err error) {
	err = b.in("cuMemGetInfo", func() (err error) { free, total, err = cu.MemInfo(); return err })
	return free, total, err
}

func (b *binding) Load(ptx string, names []string) ([]function, error) {
	var module cu.Module
	err := b.in("cuModuleLoadData", func() (err error) { module, err = cu.LoadData(ptx); return err })
	if err != nil {
		return nil, err
	}
	functions := make([]function, len(names))
	for i, name := range names {
		err := b.in("cuModuleGetFunction", func() error {
			f, err := module.Function(name)
			functions[i] = *(*function)(unsafe.Pointer(&f))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", name, err)
		}
	}
	return functions, nil
}

func (b *binding) Clear(at address, n int) error {
	return b.in("cuMemsetD8Async", func() error { return cu.MemsetD8Async(cu.DevicePtr(at), 0, int64(n), b.stream) })
}

func (b *binding) Upload(dst address, src []byte) error {
	return b.in("cuMemcpyHtoDAsync", func() error {
		return cu.MemcpyHtoDAsync(cu.DevicePtr(dst), unsafe.Pointer(&src[0]), int64(len(src)), b.stream)
	})
}

func (b *binding) Download(dst []byte, src address) error {
	return b.in("cuMemcpyDtoHAsync", func() error {
		return cu.MemcpyDtoHAsync(unsafe.Pointer(&dst[0]), cu.DevicePtr(src), int64(len(dst)), b.stream)
	})
}

func (b *binding) Copy(dst, src address, n int) error {
	return b.in("cuMemcpyDtoDAsync", func() error {
		return cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), int64(n), b.stream)
	})
}

func (b *binding) Sync() error {
	return b.in("cuStreamSynchronize", func() error { return b.stream.Synchronize() })
}

func (b *binding) Close() error {
	return explain("cuCtxDestroy", b.context.Destroy())
}
