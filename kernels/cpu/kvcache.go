package cpu

import (
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
)

// cache is a kernels.KVCache as host memory.
type cache struct {
	kernels.KVCache
	heads, dim int
	k, v       cacheSide
}

// cacheSide is K or V.
type cacheSide struct {
	data        []byte
	scale, zero []uint16
}

func (c *cache) set(kv kernels.KVCache) {
	*c = cache{
		KVCache: kv, heads: kv.KVHeads, dim: kv.HeadDim,
		k: cacheSide{view(kv.K), view(kv.KScale), view(kv.KZero)},
		v: cacheSide{view(kv.V), view(kv.VScale), view(kv.VZero)},
	}
}

func (c *cache) groups() int { return c.Groups(c.heads) }

// vector returns the bytes of one head's vector of the token in a slot.
func (c *cache) vector(side *cacheSide, head, slot int) []byte {
	n := c.VectorBytes(c.dim)
	at := (slot/kernels.PageTokens*c.heads+head)*kernels.PageTokens + slot%kernels.PageTokens
	return side.data[at*n:][:n:n]
}

// page returns the bytes of one head's first n vectors of a page.
func (c *cache) page(side *cacheSide, head, page, n int) []byte {
	size := c.VectorBytes(c.dim)
	return side.data[(page*c.heads+head)*kernels.PageTokens*size:][:n*size]
}

// scaleAt is where the scale and zero of a group stand for the token in a slot.
func (c *cache) scaleAt(group, slot int) int {
	return (slot/kernels.PageTokens*c.groups()+group)*kernels.PageTokens + slot%kernels.PageTokens
}

// ropeTable is a kernels.RoPE as host memory.
type ropeTable struct {
	cos, sin []float32
	half     int
}

func (r *ropeTable) set(rope kernels.RoPE) {
	*r = ropeTable{view(rope.Cos), view(rope.Sin), rope.HeadDim / 2}
}

// at returns the rotations of a position.
func (r *ropeTable) at(position int) (cos, sin []float32) {
	return r.cos[position*r.half:][:r.half], r.sin[position*r.half:][:r.half]
}

// signed returns b as int8s.
func signed(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// halves returns float16s in memory that is aligned to two bytes.
func halves(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// words returns float32s in memory that is aligned to four bytes.
func words(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
