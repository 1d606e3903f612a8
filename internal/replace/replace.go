// Package replace writes files so that at every moment, of a crash too, there is the
// old file or the whole new one, and folders so that there is none or the whole one.
package replace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/llmqat/llmqat/internal/filelock"
)

// File puts what write writes at path: a temporary file beside it, synced, then
// renamed, and the folder synced. A killed writer leaves a file whose name begins with
// a dot and ends in .partial, which the next one takes over.
func File(path string, write func(w io.Writer) error) (err error) {
	temporary := filelock.Partial(path)
	f, err := os.Create(temporary)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
			os.Remove(temporary)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = errors.Join(w.Flush(), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
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
