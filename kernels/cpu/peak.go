package cpu

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/internal/pace"
)

// peakKernels measure the machine: what the linear layers are held against.
type peakKernels struct {
	// read loads every byte of b, whose length is a multiple of 256, in order.
	read func(b []byte)
	// w4 and w8 multiply registers of int8 with unsigned or signed bytes, with the
	// widening to int32 that an exact product with int4 or int8 weights needs; fma is
	// float32 multiply-add.
	w4, w8, fma peakLoop
}

// peakLoop is a loop without loads or stores: run(n) does n·macs multiply-adds.
type peakLoop struct {
	macs int
	run  func(n int)
}

// ReadBandwidth returns the bytes per second at which all workers together read a
// buffer of the given size, at least 1 MiB, with the instruction set's loads: the
// ceiling of decode where size exceeds the caches. It is the best of a few
// repetitions of 20 ms or more.
func (d *Device) ReadBandwidth(size int) float64 {
	t := &readTask{d.isa.peak.read, make([]byte, max(size, 1<<20)/readChunk*readChunk)}
	adviseHuge(t.buf)
	for i := 0; i < len(t.buf); i += 4096 {
		t.buf[i] = 1 // pages never written are all one page of zeros
	}
	pass := secondsOf(func(n int) {
		for range n {
			d.run(len(t.buf)/readChunk, t)
		}
	})
	return float64(len(t.buf)) / pass
}

// Int8Peak returns the multiply-adds per second of all workers together, in registers,
// with the instructions of the instruction set's products of int8 and weights of 4 or
// 8 bits. It is the best of a few repetitions of 20 ms or more.
func (d *Device) Int8Peak(weightBits int) float64 {
	if weightBits == 8 {
		return d.peakOf(d.isa.peak.w8)
	}
	return d.peakOf(d.isa.peak.w4)
}

// Float32Peak returns the float32 fused multiply-adds per second of all workers
// together, in registers, measured as Int8Peak is.
func (d *Device) Float32Peak() float64 { return d.peakOf(d.isa.peak.fma) }

// readTask's chunks read a part of buf each.
type readTask struct {
	read func(b []byte)
	buf  []byte
}

const readChunk = 256 << 10

func (t *readTask) run(_, chunk int) { t.read(t.buf[chunk*readChunk:][:readChunk]) }

// loopTask's chunks run a peakLoop n times each.
type loopTask struct {
	loop func(n int)
	n    int
}

func (t *loopTask) run(_, _ int) { t.loop(t.n) }

func (d *Device) peakOf(l peakLoop) float64 {
	chunks := 8 * d.pool.workers // short ones, so that the workers end together
	loop := secondsOf(func(n int) { d.run(chunks, &loopTask{l.run, n}) })
	return float64(chunks*l.macs) / loop
}

// secondsOf returns the time that run(n) takes for each of n, at its best.
func secondsOf(run func(n int)) float64 {
	seconds, _ := pace.Best(func(n int) error { run(n); return nil })
	return seconds
}

var peakGeneric = peakKernels{
	read: readGeneric,
	w4:   peakLoop{8, peakInt8Generic},
	w8:   peakLoop{8, peakInt8Generic},
	fma:  peakLoop{4, peakFMAGeneric},
}

// peakSink keeps the compiler from dropping what the generic loops compute.
var peakSink atomic.Uint64

func readGeneric(b []byte) {
	var a [4]uint64
	for ; len(b) >= 32; b = b[32:] {
		for i := range a {
			a[i] ^= binary.LittleEndian.Uint64(b[8*i:])
		}
	}
	peakSink.Store(a[0] ^ a[1] ^ a[2] ^ a[3])
}

func peakInt8Generic(n int) {
	var s [8]int32
	w, x := [8]int8{1, 2, 3, 4, 5, 6, 7, 8}, [8]int8{8, 7, 6, 5, 4, 3, 2, 1}
	for range n {
		for i := range s {
			s[i] += int32(w[i]) * int32(x[i])
		}
		w[n&7]++ // or the products are hoisted out of the loop
	}
	peakSink.Store(uint64(s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7]))
}

func peakFMAGeneric(n int) {
	s := [4]float32{1, 2, 3, 4}
	for range n {
		for i := range s {
			s[i] = fp.FMA(s[i], 0.5, 1)
		}
	}
	peakSink.Store(uint64(s[0] + s[1] + s[2] + s[3]))
}
