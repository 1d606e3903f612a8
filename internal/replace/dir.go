package replace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/llmqat/llmqat/internal/filelock"
)

// Dir puts the folder that write fills with files, each by File, at path, whole or not at all: a folder beside it,
// renamed at the end. A symbolic link at path is followed. A folder that holds something is never replaced. A killed
// writer leaves a folder whose name begins with a dot and ends in .partial, which the next one takes over; while it
// lives it has the folder locked.
func Dir(path string, write func(dir string) error) (err error) {
	if path, _, err = follow(filepath.Clean(path)); err != nil {
		return err
	}
	if err := vacant(path); err != nil {
		return err
	}
	temporary := filelock.Partial(path)
	lock, err := claim(temporary, path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
		lock.Close()
	}()
	if err := write(temporary); err != nil {
		return err
	}
	if err := vacant(path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder: not every system renames onto one
		return err
	}
	if runtime.GOOS == "windows" {
		lock.Close() // an open folder cannot be renamed there
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// vacant returns an error unless path is free or an empty folder.
func vacant(path string) error {
	list, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: want a new or an empty folder: %w", path, err)
	case len(list) > 0:
		return fmt.Errorf("%s holds %q and is not replaced: give a new folder, or remove this one", path, list[0].Name())
	}
	return nil
}

// claim makes the temporary folder of path, empty, and returns it locked.
func claim(temporary, path string) (*os.File, error) {
	d, err := filelock.Claim(temporary, path, func() (*os.File, error) {
		for {
			if err := os.Mkdir(temporary, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			d, err := os.Open(temporary)
			if !errors.Is(err, fs.ErrNotExist) { // else its writer has just finished
				return d, err
			}
		}
	}, func(named fs.FileInfo) error {
		if !named.IsDir() {
			return fmt.Errorf("%s: no folder: remove it", temporary)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := empty(temporary); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// empty removes what a killed writer left.
func empty(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
