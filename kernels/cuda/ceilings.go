package cuda

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/internal/pace"
)

const (
	peakThreads = 256 // ceilings.cu: of a CTA
	peakChains  = 8
	peakCTAs    = 2 // to an SM: 16 warps
	readCTAs    = 8 // as many threads as an SM holds, 4 loads of each in flight
)

// ReadBandwidth returns the bytes per second at which the GPU reads memory of the given
// size, at least 1 MiB. As with the other ceilings it is the best of a few repetitions of
// 20 ms or more, and where the device fails 0; Sync then has the reason.
func (d *Device) ReadBandwidth(size int) float64 {
	size = max(size, 1<<20) / 16 * 16
	ctas := readCTAs * d.driver.Multiprocessors()
	return d.ceiling(float64(size), ctas, size, func(out, from uint64, n int) {
		for range n {
			d.launch("peak_read", peakShape(ctas), out, from, uint64(size/16))
		}
	})
}

// Int8Peak returns the multiply-adds per second of the tensor cores through mma.sync of
// int8, whatever the bits of weights: they are widened before.
func (d *Device) Int8Peak(int) float64 { return d.mmaPeak("peak_mma_s8", 16*8*32) }

// Float16Peak returns those of float16 operands with float32 sums.
func (d *Device) Float16Peak() float64 { return d.mmaPeak("peak_mma_f16", 16*8*16) }

// Barrier queues a kernel of no work: what every launch costs.
func (d *Device) Barrier() { d.launch("no_work", shape{ctas: [3]uint32{1, 1, 1}, threads: 32}) }

// mmaPeak measures a kernel whose warps do chains of products of macs each.
func (d *Device) mmaPeak(kernel string, macs int) float64 {
	ctas := peakCTAs * d.driver.Multiprocessors()
	return d.ceiling(float64(ctas*peakThreads/32*peakChains*macs), ctas, 0, func(out, _ uint64, n int) {
		d.launch(kernel, peakShape(ctas), out, uint64(n))
	})
}

func peakShape(ctas int) shape {
	return shape{ctas: [3]uint32{uint32(ctas), 1, 1}, threads: peakThreads}
}

// ceiling returns how much work is done in a second by run, which does it n times: with a
// word of out for each thread of the CTAs, and read bytes of from.
func (d *Device) ceiling(work float64, ctas, read int, run func(out, from uint64, n int)) float64 {
	err := d.Sync() // what was queued is not timed
	var out, from kernels.Mem
	for _, m := range []struct {
		mem   *kernels.Mem
		bytes int
	}{{&out, 4 * ctas * peakThreads}, {&from, read}} {
		if err == nil {
			*m.mem, err = d.Alloc(m.bytes)
		}
		if err == nil {
			defer d.Free(*m.mem)
		}
	}
	seconds := 0.0
	if err == nil {
		seconds, err = pace.Best(func(n int) error {
			run(uint64(out.(*memory).at), uint64(from.(*memory).at), n)
			return d.Sync()
		})
	}
	if err != nil {
		d.err = err // as it was before Sync returned it
		return 0
	}
	return work / seconds
}
