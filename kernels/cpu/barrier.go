package cpu

import (
	"runtime"
	"sync/atomic"
)

// Barrier runs an operator of no work that every worker takes part in: what each
// operator pays for its workers to begin and to end together.
func (d *Device) Barrier() { d.run(d.pool.workers, &meeting{workers: int32(d.pool.workers)}) }

// meeting's chunks wait for each other, so that no worker does two of them.
type meeting struct {
	workers int32
	here    atomic.Int32
}

func (m *meeting) run(int, int) {
	m.here.Add(1)
	for i := 1; m.here.Load() < m.workers; i++ {
		if i%256 == 0 {
			runtime.Gosched()
		}
	}
}
