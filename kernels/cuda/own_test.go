//go:build cuda

package cuda

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// TestMeasure: what is measured takes no memory and leaves no trace, and says what
// Reserve has to allocate.
func TestMeasure(t *testing.T) {
	d, inject := fake(t)
	before, total, err := d.Available()
	if err != nil {
		t.Fatal(err)
	}
	g := newGathering(t, d, 3)
	inject("cuMemAllocAsync=2@1") // nothing is allocated any more
	scratch := d.Measure(func() {
		m, err := d.Alloc(1 << 50)
		if err == nil {
			t.Error("an absurd allocation is as absurd where it is measured")
		}
		if m, err = d.Alloc(1 << 40); err != nil {
			t.Fatal(err)
		}
		d.Upload(m, 1<<39, []byte{1})
		d.Download([]byte{1}, m, 1<<39)
		b, err := d.Import(make([]byte, 100), func(int64) { t.Error("nothing is copied") })
		if err != nil {
			t.Fatal(err)
		}
		g.run(d)
		d.scratch(1000)
		d.scratch(3000)
		d.scratch(2000)
		d.Free(b)
		d.Free(m)
	})
	if scratch != 3000 {
		t.Errorf("%d bytes of scratch, want 3000", scratch)
	}
	want(t, d.Reserve(scratch), "cuda: scratch: allocation of 3000 bytes", "out of memory")
	inject("")
	if err := d.Reserve(scratch); err != nil {
		t.Fatal(err)
	}
	inject("cuMemAllocAsync=2@1")
	d.scratch(3000)
	g.run(d)
	g.check(t, d, 3)
	inject("")
	used := int64(3000 + 2*4 + 4*64*4 + 64*4 + 4) // scratch and the gathering's rows
	if free, all, err := d.Available(); err != nil || free > before-3000 || free < before-2*used || all != total {
		t.Errorf("%d of %d free, %v; there were %d of %d", free, all, err, before, total)
	}
}

// TestImport: a file comes whole, in pieces that are told, and one that ends under its
// mapping is an error, after which the device goes on.
func TestImport(t *testing.T) {
	d := newTestDevice(t)
	path := filepath.Join(t.TempDir(), "weights")
	const size = 5*halfBytes + 4096
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)

	var told []int64
	m, err := d.Import(mapped, func(n int64) { told = append(told, n) })
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 6 || told[0] != halfBytes || told[5] != size {
		t.Errorf("told %v of %d bytes", told, size)
	}
	got := make([]byte, size)
	d.Download(got, m, 0)
	if string(got) != string(b) {
		t.Error("bytes came back changed")
	}
	d.Free(m)

	if err := os.Truncate(path, 3*halfBytes); err != nil {
		t.Fatal(err)
	}
	before, _, _ := d.Available()
	if _, err := d.Import(mapped, nil); !errors.Is(err, kernels.ErrFault) || errors.Is(err, kernels.ErrLost) {
		t.Errorf("import of a file that was truncated: %v, want ErrFault", err)
	}
	if free, _, _ := d.Available(); free != before {
		t.Errorf("%d bytes are free, %d were before", free, before)
	}
	g := newGathering(t, d, 2)
	g.run(d)
	g.check(t, d, 2)
}
