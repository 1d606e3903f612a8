//go:build unix

package mapped

import (
	"os"

	"golang.org/x/sys/unix"
)

func mmap(f *os.File, size int) ([]byte, func() error, error) {
	bytes, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return bytes, func() error { return os.NewSyscallError("munmap", unix.Munmap(bytes)) }, nil
}

// release cannot fail in a way that matters: it is advice.
func release(bytes []byte) { unix.Madvise(bytes, unix.MADV_DONTNEED) }
