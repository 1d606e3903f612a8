package cpu

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// storeKernels are the inner loops that write the KV cache.
type storeKernels struct {
	// store4 packs one vector as quant.KV.KVStore does for 4 bits: q in lo..hi, off
	// the nibble of q = 0, scale > 0. The length of dst, half of x's, is a multiple of 8.
	store4 func(dst []uint8, x []float32, scale, zero, lo, hi, off float32)

	// store16 sets dst to quant.Float16 of x, finite. The length is a multiple of 8.
	store16 func(dst []uint16, x []float32)
}

var storeGeneric = storeKernels{store4Generic, store16Generic}

// errKV is why a key or value cannot be stored.
var errKV = fmt.Errorf("a query, key or value beyond what the format holds (|k|, |v| <= %d), or %w", quant.MaxFloat16, quant.ErrNotFinite)

// RoPEAppendKV implements kernels.Device.
func (d *Device) RoPEAppendKV(q kernels.Rows, kv kernels.KVCache, qkv kernels.Floats, b *kernels.Batch, rope kernels.RoPE) {
	heads := kernels.CheckRoPEAppendKV("cpu: RoPEAppendKV", q, kv, qkv, b, rope)
	t := &d.rows.append
	t.out.set(d, q)
	t.store = &d.isa.storeKernels
	t.cache.set(kv)
	t.rope.set(rope)
	t.heads, t.qkv, t.stride = heads, view(qkv.Buf), qkv.Stride
	t.positions, t.slots = view(b.Positions), view(b.Slots)
	t.scratch = grown(t.scratch, d.pool.workers, kv.KVHeads*kv.HeadDim)
	for i := range b.T {
		if p, s := int(t.positions[i]), int(t.slots[i]); p < 0 || p >= rope.Positions || s < 0 || s >= kv.Pages*kernels.PageTokens {
			panic(fmt.Sprintf("cpu: RoPEAppendKV: token %d has position %d of %d and slot %d of %d",
				i, p, rope.Positions, s, kv.Pages*kernels.PageTokens))
		}
	}
	d.eachRow("RoPEAppendKV", b.T, t, errKV)
}

type appendRows struct {
	out              outRows // queries
	store            *storeKernels
	cache            cache
	rope             ropeTable
	heads            int
	qkv              []float32
	stride           int
	positions, slots []int32
	scratch          [][]float32 // one token's rotated keys, for each worker
}

func (t *appendRows) row(worker, i int) bool {
	dim, kvHeads := t.cache.dim, t.cache.heads
	cos, sin := t.rope.at(int(t.positions[i]))
	x := t.qkv[i*t.stride:][:(t.heads+2*kvHeads)*dim]

	ok := true
	for h := range t.heads {
		y := t.out.floats(worker, i*t.heads+h)
		t.out.k.rotateAny(y, x[h*dim:][:dim], cos, sin)
		ok = t.out.store(i*t.heads+h, y) && ok
	}
	k, v := x[t.heads*dim:][:kvHeads*dim], x[(t.heads+kvHeads)*dim:]
	if !t.cache.RotateOnRead() {
		y := t.scratch[worker][:kvHeads*dim]
		for h := 0; h < len(k); h += dim {
			t.out.k.rotateAny(y[h:][:dim], k[h:][:dim], cos, sin)
		}
		k = y
	}
	slot := int(t.slots[i])
	return ok && t.put(&t.cache.k, slot, k) && t.put(&t.cache.v, slot, v)
}

// put stores one token's keys or values x [heads, dim] in its slot.
func (t *appendRows) put(side *cacheSide, slot int, x []float32) bool {
	c := &t.cache
	if !c.Quantized() {
		m := t.out.k.absMaxAny(x)
		if !quant.IsFinite(m) || c.Bits == 16 && m > quant.MaxFloat16 {
			return false
		}
		for h := range c.heads {
			t.put16(c.vector(side, h, slot), x[h*c.dim:][:c.dim])
		}
		return true
	}
	groups := c.groups()
	per := c.heads / groups
	for g := range groups {
		x := x[g*per*c.dim:][:per*c.dim]
		lo, hi := t.out.k.minMaxAny(x)
		scale, zero, ok := c.KVScale(lo, hi)
		if !ok {
			return false
		}
		at := c.scaleAt(g, slot)
		side.scale[at] = scale
		if c.HasZero() {
			side.zero[at] = zero
		}
		for h := range per {
			t.putInts(c.vector(side, g*per+h, slot), x[h*c.dim:][:c.dim], scale, zero)
		}
	}
	return true
}

// put16 stores a vector as float16 or float32.
func (t *appendRows) put16(dst []byte, x []float32) {
	if t.cache.Bits == 32 {
		copy(dst, asBytes(x))
		return
	}
	h := halves(dst)
	n := len(x) &^ 7
	t.store.store16(h[:n], x[:n])
	store16Generic(h[n:], x[n:])
}

// putInts is quant.KV.KVStore.
func (t *appendRows) putInts(dst []byte, x []float32, scale, zero uint16) {
	f := t.cache.KV
	if scale == 0 || f.Bits == 4 && len(x)%16 != 0 || f.Bits == 8 && len(x)%8 != 0 {
		f.KVStore(dst, x, scale, zero)
		return
	}
	s, z := quant.Float16To32(scale), quant.Float16To32(zero)
	lo, hi := f.KVRange()
	if f.Bits == 8 {
		t.out.k.quantize(signed(dst), x, s, z, float32(hi))
		return
	}
	t.store.store4(dst, x, s, z, float32(lo), float32(hi), t.cache.NibbleOffset())
}

func store4Generic(dst []uint8, x []float32, scale, zero, lo, hi, off float32) {
	half := len(dst)
	q := func(v float32) uint8 {
		v = min(max((v-zero)/scale, lo), hi)
		return uint8(int8(math.RoundToEven(float64(v)) + float64(off)))
	}
	for j := range dst {
		dst[j] = q(x[j]) | q(x[j+half])<<4
	}
}

func store16Generic(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = quant.Float16(v)
	}
}
