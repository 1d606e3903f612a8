package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

var _ kernels.OwnMemory = (*Device)(nil)

// Available implements kernels.OwnMemory.
func (d *Device) Available() (free, total int64, err error) {
	d.flush()
	d.wait() // for memory that is being freed
	if free, total, err = d.driver.MemInfo(); err != nil {
		return 0, 0, fmt.Errorf("cuda: %w", err)
	}
	return free, total, nil
}

// Measure implements kernels.OwnMemory.
func (d *Device) Measure(f func()) (scratch int64) {
	checks := len(d.checks)
	d.measuring, d.wanted = true, 0
	defer func() { d.measuring, d.checks = false, d.checks[:checks] }()
	f()
	return int64(d.wanted)
}

// Reserve implements kernels.OwnMemory.
func (d *Device) Reserve(scratch int64) error {
	if err := d.reserve(int(scratch)); err != nil {
		return fmt.Errorf("cuda: scratch: %w", err)
	}
	return nil
}

func (d *Device) reserve(n int) error {
	if n <= d.scratchMem.bytes {
		return nil
	}
	d.Free(&d.scratchMem)
	d.scratchMem = memory{}
	m, err := d.alloc(n)
	if err == nil {
		d.scratchMem = *m
	}
	return err
}

// scratch returns n bytes that the launches queued next may use until the scratch
// after them.
func (d *Device) scratch(n int) uint64 {
	if d.measuring {
		d.wanted = max(d.wanted, n)
		return 0
	}
	d.fail(d.reserve(n))
	return uint64(d.scratchMem.at)
}
