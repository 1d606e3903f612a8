package engine

import (
	"os"
	"strconv"
	"strings"
)

// AvailableMemory returns how many bytes this process may still take without
// swapping, the page cache counted as free, within the limits of its control group
// (version 2) where it sees them; 0 if unknown.
func AvailableMemory() int64 {
	available := field("/proc/meminfo", "MemAvailable:") * 1024
	const group = "/sys/fs/cgroup/"
	if limit := number(group + "memory.max"); limit > 0 {
		used := number(group+"memory.current") - field(group+"memory.stat", "file")
		available = min(available, max(limit-used, 1))
	}
	return available
}

// field returns the number that follows name at the start of a line of file, or 0.
func field(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// number returns the number that file holds, or 0; "max" is none.
func number(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}
