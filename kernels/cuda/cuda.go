// Package cuda is the kernels.Device of NVIDIA GPUs since the A100 (sm_80). The
// operators queue launches of kernels, one .cu file each, whose PTX is embedded and
// compiled by the driver. Built without the tag cuda, New says so.
package cuda

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

// Device runs operators on one GPU.
type Device struct {
	driver  driver
	name    string
	kernels map[string]*kernel

	queue   work // not yet given to the driver
	replay  replay
	trace   *trace // nil: kernels run without being timed
	staging staging

	scratchMem memory  // what scratch returns
	tickets    *memory // zeros, in which CTAs that share a tile count themselves
	measuring  bool    // within Measure
	wanted     int     // the most scratch since it began

	failed *memory    // a word: the first operator and row that failed, or noFailure
	checks []rowCheck // the operators since the last Sync that may fail on a row
	err    error      // first failure since the last Sync, or for ever ErrLost
}

var _ kernels.Device = (*Device)(nil)

// rowCheck is what it means that a kernel calls fail_row.
type rowCheck struct {
	operator string
	why      error
}

const noFailure = ^uint64(0)

// maxTickets is more than the tiles that CTAs share in one launch: of linear layers
// fewer than SMs, of attention 8 an SM.
const maxTickets = 4096

// New returns the GPU of the given number. It is released by Close.
func New(ordinal int) (*Device, error) {
	driver, err := openDriver(ordinal)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	d, err := newDevice(driver)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", errors.Join(err, driver.Close()))
	}
	return d, nil
}

func newDevice(driver driver) (*Device, error) {
	major, minor := driver.Capability()
	d := &Device{driver: driver, name: fmt.Sprintf("cuda/sm_%d%d", major, minor)}
	if major < 8 {
		return nil, fmt.Errorf("the GPU is sm_%d%d; want sm_80 or later", major, minor)
	}
	var err error
	if d.kernels, err = load(driver); err != nil {
		return nil, err
	}
	if d.staging, err = newStaging(driver); err != nil {
		return nil, err
	}
	if d.failed, err = d.alloc(8); err != nil {
		return nil, err
	}
	if d.tickets, err = d.alloc(4 * maxTickets); err != nil {
		return nil, err
	}
	if err := driver.Clear(d.tickets.at, d.tickets.bytes); err != nil {
		return nil, err
	}
	d.resetFailed()
	return d, d.Sync()
}

// Close waits for queued work and releases the GPU, with all memory of it.
func (d *Device) Close() error {
	if d.driver == nil {
		return nil
	}
	err := errors.Join(d.Sync(), d.driver.FreeHost(d.staging.all), d.driver.Close())
	d.driver = nil
	return err
}

// Name returns "cuda/" and the GPU's architecture.
func (d *Device) Name() string { return d.name }

// Model returns what the GPU is sold as, as "NVIDIA H200".
func (d *Device) Model() string { return d.driver.Model() }

// fail keeps the first failure.
func (d *Device) fail(err error) {
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("cuda: %w", err)
	}
}

// shape is a launch's CTAs and what each has.
type shape struct {
	ctas            [3]uint32
	threads, shared uint32 // shared: bytes of dynamic shared memory
}

// launch queues a kernel.
func (d *Device) launch(name string, s shape, params ...uint64) {
	k, ok := d.kernels[name]
	if !ok {
		panic("cuda: no kernel " + name)
	}
	if s.shared > k.shared {
		d.fail(d.driver.AllowShared(k.function, int(s.shared)))
		k.shared = s.shared
	}
	if d.err != nil || d.measuring {
		return
	}
	q := &d.queue
	q.launches = append(q.launches, launch{
		function: k.function, grid: s.ctas, block: [3]uint32{s.threads, 1, 1}, shared: s.shared,
		first: uint32(len(q.params)), n: uint32(len(params)),
	})
	q.params = append(q.params, params...)
	if len(q.launches) == queueLen {
		d.flush()
	}
}

// check returns the word at which a kernel says that a row failed, and its number.
func (d *Device) check(operator string, why error) (failed, op uint64) {
	d.checks = append(d.checks, rowCheck{operator, why})
	return uint64(d.failed.at), uint64(len(d.checks) - 1)
}

// flush gives queued launches to the driver.
func (d *Device) flush() {
	if len(d.queue.launches) > 0 && d.err == nil {
		if d.trace != nil {
			d.fail(d.trace.submit(d.driver, &d.queue))
		} else {
			d.fail(d.replay.submit(d.driver, &d.queue))
		}
	}
	d.queue.clear()
}

// Sync waits for queued work and returns the first failure since the last Sync. Where
// the driver fails again when asked for nothing, as it does for ever after a fault, the
// failure is ErrLost, and stays.
func (d *Device) Sync() error {
	d.flush()
	d.settle()
	err := d.err
	if err == nil || errors.Is(err, kernels.ErrLost) {
		return err
	}
	if d.err = nil; d.driver.Sync() != nil {
		d.err = fmt.Errorf("%w: %w", kernels.ErrLost, err)
		return d.err
	}
	d.resetFailed()
	return err
}

// wait waits for what the driver has, even after a failure: nothing may read the
// staging memory when it is used again.
func (d *Device) wait() {
	d.fail(d.driver.Sync())
	d.staging.idle()
}

// settle waits, and makes a row that failed the device's error.
func (d *Device) settle() {
	checks := d.checks
	d.checks = d.checks[:0]
	var word []byte
	if d.err == nil && len(checks) > 0 {
		room, err := d.staging.room(8)
		if d.fail(err); err == nil {
			word = room[:8]
			d.fail(d.driver.Download(word, d.failed.at))
		}
	}
	if d.wait(); d.err != nil || word == nil {
		return
	}
	if v := order.Uint64(word); v != noFailure {
		c := checks[v>>32]
		d.fail(fmt.Errorf("%s: row %d: %w", c.operator, uint32(v), c.why))
	}
}
