package qat

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/llmqat/llmqat/internal/filelock"
)

// temporary opens the empty temporary file of path, locked.
func temporary(path string) (*os.File, error) {
	name := filelock.Partial(path)
	f, err := filelock.Claim(name, path, func() (*os.File, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666) }, func(named fs.FileInfo) error {
		if !named.Mode().IsRegular() {
			return fmt.Errorf("%s: no regular file: remove it", name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		discard(f)
		return nil, err
	}
	return f, nil
}

// discard removes a temporary file while its lock lasts, where the system lets it.
func discard(f *os.File) {
	removed := os.Remove(f.Name()) == nil
	f.Close()
	if !removed {
		os.Remove(f.Name())
	}
}
