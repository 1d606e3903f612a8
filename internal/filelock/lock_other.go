//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package filelock

import "os"

// Lock does nothing: these systems have no such lock. They do not let a process
// replace a file that another has open.
func Lock(*os.File) error { return nil }
