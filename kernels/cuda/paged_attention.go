package cuda

import (
	"errors"

	"github.com/llmqat/llmqat/kernels"
)

const (
	splitTokens      = 256 // as in attention.h
	splitPages       = splitTokens / kernels.PageTokens
	attentionThreads = 256
	// tileRows bounds a tile's queries × heads, so that two CTAs' shared memory fits
	// an SM with heads of 128: 32 rows have 100 KiB, of the SM's 227.
	tileRows = 32
	// wavesOfSplits is up to how many CTAs an SM would have, were each to do all of its
	// tile's positions, contexts are split over CTAs. Their tiles, twice as many where
	// there is little shared memory, have tickets on GPUs of up to 512 SMs.
	wavesOfSplits = 4
)

// errPlace is why a token's context cannot be read.
var errPlace = errors.New("its position, or a page of its context, is outside the page table, the cache or the rotations")

// The kernels for float and integer queries, by the cache's bits; any where vectors are
// no whole pieces of 16 bytes.
var (
	floatAttention = map[int]string{4: "attention_f4", 8: "attention_f8", 16: "attention_f16", 32: "attention_f32"}
	intAttention   = map[int]string{4: "attention_int4", 8: "attention_int8"}
	anyAttention   = map[int]string{4: "attention_any4", 8: "attention_any8"}
)

// PagedAttention implements kernels.Device.
func (d *Device) PagedAttention(out kernels.Floats, q kernels.Rows, kv kernels.KVCache, b *kernels.Batch, rope kernels.RoPE) {
	heads := kernels.CheckPagedAttention("cuda: PagedAttention", out, q, kv, b, rope)
	if b.T == 0 {
		return
	}
	group, splits := heads/kv.KVHeads, (b.MaxPages+splitPages-1)/splitPages
	if splits == 1 || b.T*kv.KVHeads*int(ceil(group, tileRows)) >= wavesOfSplits*d.driver.Multiprocessors() {
		splits = 0
	}
	a := attentionShape{dim: kv.HeadDim, intQueries: q.Bits != 16, bits: kv.Bits, parts: splits > 0}
	per, width := a.cut(d.driver.SharedPerCTA(), group, b.T)
	tiles := b.T
	if per > 1 {
		tiles = b.T/per + b.S
	}
	var parts uint64
	if splits > 0 {
		parts = d.scratch(b.T * heads * splits * (kv.HeadDim + 3) * 4)
	}
	names := floatAttention
	if q.Bits != 16 {
		if names = intAttention; kv.VectorBytes(kv.HeadDim)%16 != 0 {
			names = anyAttention
		}
	}
	positions := b.MaxPages * kernels.PageTokens
	if kv.RotateOnRead() {
		positions = min(positions, rope.Positions)
	}
	failed, op := d.check("PagedAttention", errPlace)
	s := shape{
		ctas:    [3]uint32{uint32(tiles), uint32(kv.KVHeads) * ceil(group, width), uint32(max(splits, 1))},
		threads: attentionThreads,
		shared:  uint32(a.shared(per * width)),
	}
	d.launch(names[kv.Bits], s,
		at(out.Buf), uint64(out.Stride), parts, uint64(d.tickets.at), at(q.Q), at(q.Scale), at(q.Sum), at(q.F.Buf),
		at(kv.K), at(kv.KScale), at(kv.KZero), at(kv.V), at(kv.VScale), at(kv.VZero), uint64(kv.Pages), uint64(positions),
		kvSchemes[kv.Scheme], uint64(heads), uint64(kv.KVHeads), uint64(kv.HeadDim), at(rope.Cos), at(rope.Sin),
		at(b.QueryStart), at(b.SeqLens), at(b.PageTable), uint64(b.MaxPages), uint64(b.S), uint64(per), uint64(width), failed, op)
}

// attentionShape is what shared memory depends on, besides rows. With parts, a CTA does
// one split.
type attentionShape struct {
	dim, bits         int
	intQueries, parts bool
}

// cut returns how many tokens and how many heads of a group a tile has, so that its
// shared memory is no more than limit.
func (a attentionShape) cut(limit, group, tokens int) (per, heads int) {
	rows := tileRows
	for a.shared(rows) > limit {
		rows--
	}
	if a.parts || group > rows {
		return 1, min(group, rows)
	}
	return min(rows/group, tokens), group
}

// shared is the dynamic shared memory of Layout in paged_attention.cu, which refuses
// any other.
func (a attentionShape) shared(rows int) (bytes int) {
	r8 := (rows + 7) / 8 * 8
	qBytes, weights, sums := (a.dim+7)/8*8*4, 0, 0
	if a.intQueries {
		qBytes = (a.dim*a.bits/8 + 63) / 64 * 64 * 8 / a.bits
	}
	if a.bits <= 8 {
		weights = r8 * 2 * splitTokens
	}
	if !a.parts {
		sums = rows * a.dim * 4
	}
	for _, n := range [...]int{
		4, splitTokens * 4, splitTokens * 4, r8 * qBytes, weights, // found, vScale, vZero, q, p
		rows * splitTokens * 4, rows * a.dim * 4, sums, // s, x, o
		r8 * 12, r8 * 8, r8 * 12, r8 * 12, r8 * 12, // query, sums, part, all, merge
	} {
		bytes += (n + 15) / 16 * 16
	}
	return bytes
}
