package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/llmqat/llmqat/internal/filelock"
)

// lock makes a run's folder, where it is not there, and takes it for this process until
// unlock. What it locks stays: removed, it would be another file to the next process.
func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := filelock.Lock(f); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%s: another process trains in this folder: wait for its end, or choose another folder: %w", dir, err)
		}
		return nil, err
	}
	return f.Close, nil
}
