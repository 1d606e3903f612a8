// Package regular tells regular files from what else a path may name.
package regular

import (
	"fmt"
	"io/fs"
)

// Check refuses what is no regular file, in words.
func Check(path string, info fs.FileInfo) error {
	found := "neither a directory nor a regular file"
	switch m := info.Mode(); {
	case m.IsRegular():
		return nil
	case m.IsDir():
		found = "a directory"
	case m&fs.ModeDevice != 0:
		found = "a device"
	case m&fs.ModeNamedPipe != 0:
		found = "a pipe"
	}
	return fmt.Errorf("%s: %s, want a regular file", path, found)
}
