package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Data is text as token ids, in windows.
type Data struct {
	ids   []int32
	start []int // [windows+1]
}

// Add appends a text, in windows of up to length tokens; a rest of one token, which
// has nothing to predict, is left out.
func (d *Data) Add(ids []int32, length int) {
	if len(d.start) == 0 {
		d.start = append(d.start, 0)
	}
	for len(ids) > 1 {
		n := min(length, len(ids))
		d.ids = append(d.ids, ids[:n]...)
		d.start = append(d.start, len(d.ids))
		ids = ids[n:]
	}
}

// Len is the number of windows.
func (d *Data) Len() int { return max(len(d.start)-1, 0) }

// Tokens is the number of tokens in all.
func (d *Data) Tokens() int {
	if d.Len() == 0 {
		return 0
	}
	return d.start[d.Len()] - d.start[0]
}

// Window returns window i, which must not be changed.
func (d *Data) Window(i int) []int32 { return d.ids[d.start[i]:d.start[i+1]] }

// Longest is how many tokens the longest window has.
func (d *Data) Longest() (n int) {
	for i := range d.Len() {
		n = max(n, len(d.Window(i)))
	}
	return n
}

// Hash returns the SHA-256 of the windows: each one's length and ids, int32, little-endian.
func (d *Data) Hash() string {
	h := sha256.New()
	var b []byte
	for i := range d.Len() {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(len(d.Window(i))))
		for _, id := range d.Window(i) {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
		h.Write(b)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Split returns the first n windows, and the others.
func (d *Data) Split(n int) (first, rest *Data, err error) {
	if n < 1 || n > d.Len() {
		return nil, nil, fmt.Errorf("%d of %d windows", n, d.Len())
	}
	return &Data{d.ids, d.start[:n+1]}, &Data{d.ids, d.start[n:]}, nil
}

// batch sets b to the n windows of a step. Windows come in another order each epoch,
// a function of the seed alone: a run may begin at any step.
func (d *Data) batch(b [][]int32, step, n int, seed uint64) [][]int32 {
	b = b[:0]
	for i := range n {
		b = append(b, d.Window(d.drawn(step*n+i, seed)))
	}
	return b
}

// drawn is which window a run takes as its i-th.
func (d *Data) drawn(i int, seed uint64) int {
	return shuffled(i%d.Len(), d.Len(), seed, uint64(i/d.Len()))
}

// shuffled is where a pseudo-random permutation of 0..n-1 sends i: a Feistel cipher on
// as many bits as n needs, applied until it is below n.
func shuffled(i, n int, seed, epoch uint64) int {
	half := (bits.Len(uint(n-1)) + 1) / 2
	mask := uint64(1)<<half - 1
	for {
		l, r := uint64(i)>>half, uint64(i)&mask
		for round := range uint64(4) {
			l, r = r, l^mix(mix(mix(seed)+epoch)+round<<32+r)&mask
		}
		if i = int(l<<half | r); i < n {
			return i
		}
	}
}

// mix is splitmix64's output function.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
