// Package device opens the kernels.Device that a user names.
package device

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/cuda"
)

// Opened is a device that runs until Close.
type Opened struct {
	Device  kernels.Device
	Threads int    // of the host that compute: all on a CPU; beside a GPU those that draw tokens
	Why     string // this device
	Close   func() error
}

// Open returns the device of a name: "cpu"; "cuda", the first GPU; "cuda:N"; or "auto"
// and "", the first GPU where one runs, else the CPU. threads is 0 for one a core.
func Open(name string, threads int) (*Opened, error) {
	if threads < 0 {
		return nil, fmt.Errorf("%d threads; want 1 or more, or 0 for one a core", threads)
	}
	switch kind, number, numbered := strings.Cut(name, ":"); {
	case name == "cpu":
		return openCPU(threads, "as asked")
	case name == "" || name == "auto":
		d, err := openCUDA(0, threads)
		if err != nil {
			return openCPU(threads, strings.TrimPrefix(err.Error(), "cuda: "))
		}
		return d, nil
	case kind == "cuda":
		ordinal, err := strconv.ParseUint(number, 10, 16)
		if numbered && err != nil {
			break
		}
		d, err := openCUDA(int(ordinal), threads)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w; device cpu or auto runs without", name, err)
		}
		return d, nil
	}
	return nil, fmt.Errorf("device %q: want auto, cpu, cuda (the first GPU) or cuda:N, as cuda:1", name)
}

func openCPU(threads int, why string) (*Opened, error) {
	d, err := cpu.New(threads, "")
	if err != nil {
		return nil, err
	}
	return &Opened{d, d.Workers(), why, func() error { d.Close(); return nil }}, nil
}

func openCUDA(ordinal, threads int) (*Opened, error) {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	d, err := cuda.New(ordinal)
	if err != nil {
		return nil, err
	}
	return &Opened{d, threads, fmt.Sprintf("GPU %d, %s", ordinal, d.Model()), d.Close}, nil
}

// String says which device runs and why, as "cpu/avx2: built without cuda: build with make cuda".
func (o *Opened) String() string { return o.Device.Name() + ": " + o.Why }
