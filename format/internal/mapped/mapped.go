// Package mapped gives the bytes of model files, memory-mapped where the system can.
package mapped

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime/debug"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/internal/regular"
)

// File is the bytes of one file. They must not be changed, nor used after Close.
type File struct {
	Path  string
	bytes []byte
	unmap func() error // nil where bytes are ordinary memory
}

// Open maps a regular file. A page that cannot be read later (the file was cut short
// while mapped, the disk fails) is a fault: read Bytes under Guard.
func Open(path string) (*File, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size == 0 {
		return &File{Path: path}, nil
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("%s: %d bytes, this system can map %d: %w", path, size, math.MaxInt, format.ErrUnsupported)
	}
	bytes, unmap, err := mmap(f, int(size))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &File{Path: path, bytes: bytes, unmap: unmap}, nil
}

// Read reads a regular file of at most limit bytes into memory.
func Read(path string, limit int64) (*File, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes, at most %d: %w", path, size, limit, format.ErrCorrupt)
	}
	bytes, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, err
	}
	return &File{Path: path, bytes: bytes}, nil
}

// Memory makes a File of bytes at hand; path stands in error texts.
func Memory(path string, bytes []byte) *File { return &File{Path: path, bytes: bytes} }

// openRegular opens path. It looks first, because opening a pipe would wait for a writer.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if err := CheckRegular(path, info); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// CheckRegular refuses what is no regular file, in words.
func CheckRegular(path string, info fs.FileInfo) error {
	if err := regular.Check(path, info); err != nil {
		return fmt.Errorf("%w: %w", err, format.ErrUnsupported)
	}
	return nil
}

// Bytes returns the file's bytes.
func (f *File) Bytes() []byte { return f.bytes }

// Release says that what was read of the file is not wanted soon: the process gives
// the pages back, which stay in the system's cache. Reading goes on as before.
func (f *File) Release() {
	if f.unmap != nil {
		release(f.bytes)
	}
}

// Close unmaps the file.
func (f *File) Close() error {
	unmap := f.unmap
	f.bytes, f.unmap = nil, nil
	if unmap == nil {
		return nil
	}
	return unmap()
}

// Guard runs read, which reads mapped bytes of the file at path, and turns a fault
// into an error.
func Guard(path string, read func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // what the runtime panics with on a fault
			err = fmt.Errorf("%s: a page cannot be read: the file was cut short since it was opened, or the disk fails: %w",
				path, format.ErrCorrupt)
		default:
			panic(r)
		}
	}()
	return read()
}
