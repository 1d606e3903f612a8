package cuda

import "time"

// Trace makes the device time each kernel from here on, and call yield with its name and
// time in the order of launching, when the queue is flushed: Sync, Download and Upload do
// that. nil ends it. Meanwhile no graph runs. Times are of the GPU: what the host needs to
// launch is in none, but each has the half microsecond or more that two events lie apart
// with nothing between them.
func (d *Device) Trace(yield func(kernel string, took time.Duration)) {
	d.flush()
	if d.trace = nil; yield == nil {
		return
	}
	d.trace = &trace{yield: yield, wait: d.kernels["wait_ns"].function, names: map[function]string{}}
	for name, k := range d.kernels {
		d.trace.names[k.function] = name
	}
}

// trace is what Trace was asked for.
type trace struct {
	yield func(kernel string, took time.Duration)
	wait  function
	names map[function]string
}

// hostTime is more than the host needs for a launch and an event, and for what comes
// before the first.
const hostTime = 20 * time.Microsecond

// submit runs work behind a kernel that waits until all of it is with the GPU.
func (t *trace) submit(driver driver, w *work) error {
	n := len(w.launches)
	wait := launch{function: t.wait, grid: [3]uint32{1, 1, 1}, block: [3]uint32{1, 1, 1}, first: uint32(len(w.params)), n: 1}
	seconds, err := driver.Timed(append([]launch{wait}, w.launches...), append(w.params, uint64(time.Duration(n+1)*hostTime)))
	if err != nil {
		return err
	}
	for i, s := range seconds[1:] {
		t.yield(t.names[w.launches[i].function], time.Duration(s*float64(time.Second)))
	}
	return nil
}
