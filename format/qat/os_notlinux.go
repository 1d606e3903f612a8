//go:build !linux

package qat

import "os"

// reserve makes f size bytes long; the room for them is taken when they are written.
func reserve(f *os.File, size int64) error { return f.Truncate(size) }
