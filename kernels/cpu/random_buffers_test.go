package cpu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
)

// pair is one buffer twice, of the same contents: [0] in plain memory for the
// definition, [1] for the loop, most often up against a page nobody may touch.
type pair[T kernels.Elem] [2][]T

// loopBuffers hands out pairs for one call after another.
type loopBuffers struct {
	r       *rand.Rand
	bits    *rand.PCG // r's source: numbers by the thousand
	regions [][2][]byte
	used    []usedPair
}

// usedPair is what compare knows of a pair: it and margin bytes around it.
type usedPair struct {
	window    [2][]byte
	at, n     int // where it starts in the window, in bytes; elements
	size      int // of an element
	isFloat   bool
	isScratch bool
}

const (
	regionSize = 256 << 10
	margin     = 64
)

// blank is what pairs are in before they are filled, and what lies around them: as
// floats NaNs, which show in whatever is computed of them.
var blank = bytes.Repeat([]byte{0xff}, regionSize)

func newLoopBuffers(t testing.TB) *loopBuffers {
	b := &loopBuffers{bits: rand.NewPCG(0, 0)}
	b.r = rand.New(b.bits)
	for range 8 {
		m := guardedRegion(t, regionSize)
		b.regions = append(b.regions, [2][]byte{make([]byte, len(m)), m})
	}
	return b
}

// reset takes all pairs back.
func (b *loopBuffers) reset(seed uint64) {
	b.used = b.used[:0]
	b.bits.Seed(seed, 78)
}

// filled returns a pair of n elements, element i being value(i). Without value it
// is to be overwritten.
func filled[T kernels.Elem](b *loopBuffers, n int, value func(i int) T) pair[T] {
	var p pair[T]
	region, size := b.regions[len(b.used)], kernels.SizeOf[T]()
	at := len(region[0]) - n*size
	switch b.r.IntN(8) {
	case 0:
		at = 0 // what is read before it faults
	case 1:
		at = max(0, at-size*b.r.IntN(16)) // any alignment
	}
	_, isFloat := any(T(0)).(float32)
	u := usedPair{at: min(at, margin), n: n, size: size, isFloat: isFloat}
	for i, m := range region {
		u.window[i] = m[at-u.at : min(at+n*size+margin, len(m))]
		if n > 0 {
			p[i] = unsafe.Slice((*T)(unsafe.Pointer(&m[at])), n)
		}
	}
	copy(u.window[1], blank)
	if value != nil {
		for i := range p[1] {
			p[1][i] = value(i)
		}
	}
	copy(u.window[0], u.window[1])
	b.used = append(b.used, u)
	return p
}

// out returns n elements that the call writes.
func out[T kernels.Elem](b *loopBuffers, n int) pair[T] { return filled[T](b, n, nil) }

// scratch returns bytes whose contents are not compared, only what is around them.
func (b *loopBuffers) scratch(n int) pair[uint8] {
	p := out[uint8](b, n)
	b.used[len(b.used)-1].isScratch = true
	return p
}

// compare holds what the loop has made of all pairs, inputs too, to what the
// definition has, by bits but for a NaN's.
func (b *loopBuffers) compare() error {
	for i, u := range b.used {
		if bytes.Equal(u.window[0], u.window[1]) {
			continue
		}
		for j := 0; j < len(u.window[0]); j += u.size {
			want, got := u.window[0][j:][:u.size], u.window[1][j:][:u.size]
			if u.isScratch && j >= u.at && j < u.at+u.n*u.size {
				continue
			}
			if bytes.Equal(want, got) || u.isFloat && words(want)[0] != words(want)[0] && words(got)[0] != words(got)[0] {
				continue
			}
			return fmt.Errorf("buffer %d of %s: element %d is %#x, the definition says %#x", i, b, (j-u.at)/u.size, bitsOf(got), bitsOf(want))
		}
	}
	return nil
}

// bitsOf returns the bits of a stored element.
func bitsOf(b []byte) uint32 {
	var word [4]byte
	copy(word[:], b)
	return binary.LittleEndian.Uint32(word[:])
}

// String returns the pairs' lengths.
func (b *loopBuffers) String() string {
	var n []int
	for _, u := range b.used {
		n = append(n, u.n)
	}
	return fmt.Sprint(n)
}
