//go:build unix

package cpu

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
)

// guardedRegion returns at least size zeroed bytes, whole pages between two pages
// that nobody may touch.
func guardedRegion(t testing.TB, size int) []byte {
	t.Helper()
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	for _, guard := range [][]byte{m[:page], m[page+size:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return m[page:][:size:size]
}

// guardedOf returns n zeroed elements that end at a page nobody may touch, so that
// reading or writing past them ends the test.
func guardedOf[T kernels.Elem](t testing.TB, n int) []T {
	t.Helper()
	if n == 0 {
		return nil
	}
	bytes := n * kernels.SizeOf[T]()
	m := guardedRegion(t, bytes)
	return unsafe.Slice((*T)(unsafe.Pointer(&m[len(m)-bytes])), n)
}

// guarded is guardedOf for bytes.
func guarded(t testing.TB, n int) []byte { return guardedOf[uint8](t, n) }
