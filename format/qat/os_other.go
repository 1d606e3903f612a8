//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package qat

import (
	"fmt"
	"io"
	"os"
	"unsafe"
)

// mapFile reads all of f, where there is no mapping, to memory aligned as a mapping is.
func mapFile(f *os.File, size int64) (data []byte, unmap func() error, err error) {
	if int64(int(size)) != size || size > 1<<62 {
		return nil, nil, fmt.Errorf("%d bytes do not fit this machine's address space", size)
	}
	buf := make([]byte, size+dataAlign)
	skip := -uintptr(unsafe.Pointer(&buf[0])) & (dataAlign - 1)
	data = buf[skip : skip+uintptr(size) : skip+uintptr(size)]
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), data); err != nil {
		return nil, nil, err
	}
	return data, func() error { return nil }, nil
}

// lock does nothing: these systems do not let another process replace an open file.
func lock(*os.File) error { return nil }

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }

// replace closes f and renames it to path: an open file cannot be renamed here.
func replace(f *os.File, path string) error {
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
