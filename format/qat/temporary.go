package qat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/internal/filelock"
)

// temporaryName is where the file that is to be path is written.
func temporaryName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial")
}

// temporary opens the empty temporary file of path, locked. There is one name, so
// that killed writers leave at most one file, which the next one takes over.
func temporary(path string) (*os.File, error) {
	name := temporaryName(path)
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		if err := filelock.Lock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: cannot be locked, is another process writing %s? %w", name, path, err)
		}
		// Between open and lock its writer may have renamed or removed it.
		ours, err1 := f.Stat()
		named, err2 := os.Lstat(name)
		if err2 == nil && !named.Mode().IsRegular() {
			f.Close()
			return nil, fmt.Errorf("%s: no regular file: remove it", name)
		}
		if err1 == nil && err2 == nil && os.SameFile(ours, named) {
			if err := f.Truncate(0); err != nil {
				discard(f)
				return nil, err
			}
			return f, nil
		}
		f.Close()
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
}

// discard removes a temporary file while its lock lasts, where the system lets it.
func discard(f *os.File) {
	removed := os.Remove(f.Name()) == nil
	f.Close()
	if !removed {
		os.Remove(f.Name())
	}
}
