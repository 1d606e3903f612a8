//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock takes f for this process until it is closed, if no other has it: else the
// error is syscall.EWOULDBLOCK. A file system without locks gives none.
func Lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) { // Lustre mounted without flock
		return nil
	}
	return err
}
