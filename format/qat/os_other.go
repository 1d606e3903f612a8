//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package qat

import "os"

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }

// replace closes f and renames it to path: an open file cannot be renamed here.
func replace(f *os.File, path string) error {
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
