// Package replace writes files so that at every moment, of a crash too, there is the
// old file or the whole new one, and folders so that there is none or the whole one.
package replace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/llmqat/llmqat/internal/filelock"
	"github.com/llmqat/llmqat/internal/regular"
)

// Pending is a file that is to be at another path once it is whole.
type Pending struct {
	*os.File
	Path string // that one, symbolic links followed
}

// Begin opens an empty file beside path, which Commit or Abort end. A symbolic link at path is followed; what is
// no regular file there is refused. While the file lives it is locked, and another for the same path is an error.
// A killed writer leaves a file whose name begins with a dot and ends in .partial, which the next one takes over.
func Begin(path string) (*Pending, error) {
	path, info, err := follow(path)
	if err == nil && info != nil {
		err = regular.Check(path, info)
	}
	if err != nil {
		return nil, err
	}
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
	p := &Pending{f, path}
	if err := f.Truncate(0); err != nil {
		p.Abort()
		return nil, err
	}
	return p, nil
}

// Check returns the error that Begin has of path, for those who compute long before they write.
func Check(path string) error {
	p, err := Begin(path)
	if err != nil {
		return err
	}
	p.Abort()
	return nil
}

// follow is path with symbolic links followed, and what is there: nil for nothing. A link to nothing is an error.
func follow(path string) (string, fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil, nil
	}
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			info, err = os.Stat(path)
		}
	}
	return path, info, err
}

// Commit syncs the file, renames it to its path and syncs the folder. After an error the path is what it was, or
// the whole new file that a crash may yet undo, and nothing else is left.
func (p *Pending) Commit() error {
	if err := p.Sync(); err != nil {
		p.Abort()
		return err
	}
	if runtime.GOOS == "windows" {
		p.Close() // an open file cannot be renamed there; elsewhere the lock lasts until the name is gone
	}
	if err := os.Rename(p.Name(), p.Path); err != nil {
		p.Abort()
		return err
	}
	p.Close() // what was synced
	return syncDir(filepath.Dir(p.Path))
}

// Abort removes the file, while its lock lasts where the system lets it.
func (p *Pending) Abort() {
	removed := os.Remove(p.Name()) == nil
	p.Close()
	if !removed {
		os.Remove(p.Name())
	}
}

// File puts what write writes at path, as Begin and Commit do.
func File(path string, write func(w io.Writer) error) error {
	p, err := Begin(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(p, 1<<20)
	if err := errors.Join(write(w), w.Flush()); err != nil {
		p.Abort()
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return p.Commit()
}

// syncDir makes a rename within a folder last.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
