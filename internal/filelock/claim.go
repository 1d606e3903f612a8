package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Partial is where the file or folder that is to be path is written: one name, so that killed writers leave at
// most one, which the next one takes over.
func Partial(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial")
}

// Claim opens what name is, by open, and locks it for the one that writes path. check says what is wrong
// with the file or folder of that name, before anything of it is changed.
func Claim(name, path string, open func() (*os.File, error), check func(named fs.FileInfo) error) (*os.File, error) {
	for {
		if named, err := os.Lstat(name); err == nil {
			if err := check(named); err != nil {
				return nil, err
			}
		}
		f, err := open()
		if err != nil {
			return nil, err
		}
		if err := Lock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: cannot be locked, is another process writing %s? %w", name, path, err)
		}
		// Between open and lock its writer may have renamed or removed it.
		ours, err1 := f.Stat()
		named, err2 := os.Lstat(name)
		if err2 == nil {
			if err := check(named); err != nil {
				f.Close()
				return nil, err
			}
		}
		if err1 == nil && err2 == nil && os.SameFile(ours, named) {
			return f, nil
		}
		f.Close()
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}
