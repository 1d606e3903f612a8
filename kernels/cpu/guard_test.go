//go:build unix

package cpu

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
)

// guardedOf returns n zeroed elements that end at a page nobody may touch, so that
// reading or writing past them ends the test.
func guardedOf[T kernels.Elem](t testing.TB, n int) []T {
	t.Helper()
	page := os.Getpagesize()
	bytes := n * kernels.SizeOf[T]()
	size := (bytes + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	if err := syscall.Mprotect(m[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&m[size-bytes])), n)
}

// guarded is guardedOf for bytes.
func guarded(t testing.TB, n int) []byte { return guardedOf[uint8](t, n) }
