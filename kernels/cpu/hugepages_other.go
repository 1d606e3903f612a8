//go:build !linux

package cpu

// adviseHuge does nothing: the system has its own ways.
func adviseHuge([]byte) {}
