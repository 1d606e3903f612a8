//go:build !linux

package engine

// AvailableMemory returns 0: not known here.
func AvailableMemory() int64 { return 0 }
