//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package qat

import (
	"errors"
	"os"
)

// syncDir makes a rename within the directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// replace renames the open file f to path and closes it. The lock lasts until the
// name is gone, so that no other writer can have taken it.
func replace(f *os.File, path string) error {
	err := os.Rename(f.Name(), path)
	return errors.Join(err, f.Close())
}
