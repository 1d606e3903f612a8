package engine

import (
	"fmt"
	"runtime"

	"github.com/llmqat/llmqat/kernels"
)

// room is the memory that weights, cache and scratch may take.
type room struct {
	bytes int64  // -1: not known
	own   bool   // the device's own, so what the cache leaves is of no use to others
	told  string // " on ...": which it is
}

// roomOn returns the room on dev, or limit where it is not 0.
func roomOn(dev kernels.Device, limit int64) (room, error) {
	own, ok := dev.(kernels.OwnMemory)
	if limit != 0 {
		return room{limit, ok, ""}, nil
	}
	if !ok {
		n := AvailableMemory()
		if n <= 0 {
			n = -1
		}
		return room{n, false, ""}, nil
	}
	free, total, err := own.Available()
	if err != nil {
		return room{}, err
	}
	spare := min(total/spareShare, maxSpare)
	told := fmt.Sprintf(" on %s (%s free of %s, less %s to spare)", dev.Name(), Size(free), Size(total), Size(spare))
	return room{max(free-spare, 0), true, told}, nil
}

// What a device with memory of its own keeps free beside the plan's sums: for the
// rounding of allocations (CUDA's pool takes memory by 2 to 32 MB), the nodes of graphs
// and the stacks of kernels, tens of megabytes together, and for what other programs
// take meanwhile, as those that draw a desktop. A small GPU keeps a twentieth.
const (
	maxSpare   = 512 << 20
	spareShare = 20
)

// threads is how many of the host's threads work for dev.
func threads(dev kernels.Device) int {
	if d, ok := dev.(interface{ Workers() int }); ok {
		return d.Workers()
	}
	return runtime.GOMAXPROCS(0)
}
