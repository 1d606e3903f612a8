//go:build cuda

package cuda

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// fake returns a device of the stand-in driver, and skips where there is none. inject
// then makes it fail (emu/fake_driver.cpp).
func fake(t *testing.T) (d *Device, inject func(string)) {
	d = newTestDevice(t)
	if b := d.driver.(*binding); b.procs != 3 || filepath.Base(os.Getenv("LLMQAT_LIBCUDA")) != "libcuda.so.1" {
		t.Skip("the driver is a real one")
	}
	return d, func(what string) { t.Setenv("LLMQAT_FAKECUDA", what) }
}

func TestOutOfMemory(t *testing.T) {
	d, inject := fake(t)
	inject("memory=1048576")
	_, err := d.Alloc(1 << 20)
	want(t, err, "cuda: allocation of 1048576 bytes", "of 1048576 free", "out of memory")
	_, err = d.Import(make([]byte, 1<<20), nil)
	want(t, err, "out of memory")
	g := newGathering(t, d, 3)
	g.run(d)
	g.check(t, d, 3)
}

func TestNoMemoryForScratch(t *testing.T) {
	d, inject := fake(t)
	inject("cuMemAllocAsync=2@1")
	d.scratch(1 << 10)
	want(t, d.Sync(), "cuda: allocation of 1024 bytes", "out of memory")
	inject("")
	d.scratch(1 << 10)
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// TestLostDevice: a kernel's failure comes at Sync, stays until the device is
// closed, as the driver has it, and leaves a new device unharmed.
func TestLostDevice(t *testing.T) {
	d, inject := fake(t)
	g := newGathering(t, d, 1)
	inject("run=214@2")
	g.run(d)
	g.run(d)
	g.run(d)
	for range 2 {
		err := d.Sync()
		want(t, err, "cuda: cuStreamSynchronize: uncorrectable ECC error encountered (CUDA error 214)")
		if !errors.Is(err, kernels.ErrLost) || strings.Count(err.Error(), kernels.ErrLost.Error()) != 1 {
			t.Errorf("error %q, want ErrLost once", err)
		}
		g.run(d)
	}
	_, err := d.Alloc(8)
	want(t, err, "uncorrectable ECC error")
	want(t, d.Close(), "uncorrectable ECC error")
	inject("")
	d = newTestDevice(t)
	g = newGathering(t, d, 2)
	g.run(d)
	g.check(t, d, 2)
}

// TestNoMemoryForGraphs: where a graph does not fit, its kernels run without.
func TestNoMemoryForGraphs(t *testing.T) {
	d, inject := fake(t)
	c := &counting{driver: d.driver}
	d.driver = c
	g := newGathering(t, d, 0)
	step := func(row int32) {
		t.Helper()
		kernels.Upload(d, g.rows, []int32{row})
		for range graphLen {
			g.run(d)
		}
		g.check(t, d, float32(row))
	}
	step(1)
	inject("cuGraphInstantiateWithFlags=2@1")
	step(2)
	inject("cuGraphLaunch=2@1")
	step(3)
	inject("")
	step(1)
	step(2)
	if want := (counting{driver: c.driver, launches: 3, captures: 2, updates: 1, graphs: 3}); *c != want {
		t.Errorf("calls %+v, want %+v", *c, want)
	}
}

// TestFailingCalls: whatever call fails, its text arrives and nothing is made up.
func TestFailingCalls(t *testing.T) {
	for _, call := range []string{"cuLaunchKernel", "cuStreamSynchronize", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"} {
		d, inject := fake(t)
		g := newGathering(t, d, 1)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		inject(call + "=1@1")
		d.Upload(g.rows.Mem, 0, []byte{2, 0, 0, 0})
		g.run(d)
		got := []byte{1, 2, 3, 4}
		d.Download(got, g.out.Mem, 0)
		err := d.Sync()
		want(t, err, "cuda: "+strings.TrimSuffix(call, "_v2")+": invalid argument (CUDA error 1)")
		if errors.Is(err, kernels.ErrLost) {
			t.Errorf("%s failed once, and the device is given up: %v", call, err)
		}
		if string(got) != "\x01\x02\x03\x04" {
			t.Errorf("%s: the failed download wrote %v", call, got)
		}
		inject("")
		d.Upload(g.rows.Mem, 0, []byte{3, 0, 0, 0})
		g.run(d)
		g.check(t, d, 3)
		d.Close()
	}
	for _, call := range []string{"cuCtxCreate_v2", "cuModuleLoadData", "cuModuleGetFunction", "cuMemHostAlloc", "cuMemAllocAsync", "cuStreamCreate", "cuEventCreate"} {
		d, inject := fake(t)
		d.Close()
		inject(call + "=1@1")
		_, err := New(0)
		want(t, err, "invalid argument")
		inject("")
		newTestDevice(t).Close() // the failed one left no context
	}
}

// TestFailedRowIsForgotten also where another failure hid it.
func TestFailedRowIsForgotten(t *testing.T) {
	d, inject := fake(t)
	newGathering(t, d, 4).run(d)
	inject("cuMemcpyDtoHAsync_v2=1@1")
	want(t, d.Sync(), "cuda: cuMemcpyDtoHAsync: invalid argument")
	inject("")
	g := newGathering(t, d, 2)
	g.run(d)
	g.check(t, d, 2)
}

// TestBounds: copies and kernels that leave their memory fail.
func TestBounds(t *testing.T) {
	d, _ := fake(t)
	m, err := d.alloc(300)
	if err != nil {
		t.Fatal(err)
	}
	want(t, d.driver.Upload(m.at+1, d.staging.all[:300]), "cuMemcpyHtoDAsync: invalid argument")
	want(t, d.driver.Download(d.staging.all[:300], m.at+1), "cuMemcpyDtoHAsync: invalid argument")
	want(t, d.driver.Clear(m.at, 301), "cuMemsetD8Async: invalid argument")
	for _, past := range []uint64{0, 4096} { // the end's rounding, and the page behind
		d.Close() // the stand-in has one at a time
		d = newTestDevice(t)
		g := newGathering(t, d, 0)
		// a row of 64 floats in an allocation of 260 bytes starts at byte 4 too many
		m, err := d.alloc(260)
		if err != nil {
			t.Fatal(err)
		}
		failed, op := d.check("Gather", errRow)
		d.launchRows("gather", 1, 64, uint64(m.at)+8+past, 64, at(g.x.Buf), 4, 64, 8, at(g.rows), failed, op)
		want(t, d.Sync(), "an illegal memory access was encountered")
	}
}

func TestLaunchLimits(t *testing.T) {
	d, _ := fake(t)
	for name, l := range map[string]shape{
		"1,025 threads":    {ctas: [3]uint32{1, 1, 1}, threads: 1025},
		"no CTA":           {threads: 32},
		"65,536 CTAs by y": {ctas: [3]uint32{1, 65536, 1}, threads: 32},
		"too much shared":  {ctas: [3]uint32{1, 1, 1}, threads: 32, shared: 228 << 10},
	} {
		d.launch("gather", l, make([]uint64, 9)...)
		if err := d.Sync(); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			want(t, err, "invalid argument")
		}
	}
}

func TestModules(t *testing.T) {
	d, _ := fake(t)
	_, err := d.driver.Load(".version 7.0\n.target sm_80\n", []string{"nothing"})
	want(t, err, "kernel nothing", "named symbol not found")
	_, err = d.driver.Load("nonsense", nil)
	want(t, err, "cuModuleLoadData")
	_, err = d.driver.Load(".version 9.0\n.target sm_120\n", nil)
	want(t, err, "cuModuleLoadData")
	_, err = d.driver.Load(".version 7.0\n.target sm_80\n.visible .entry gather(.param .u64 a, .param .u32 b)", []string{"gather"})
	want(t, err, "kernel gather", "named symbol not found")
}
