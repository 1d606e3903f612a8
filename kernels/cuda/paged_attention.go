package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

const (
	splitTokens      = 256 // as in attention.h
	splitPages       = splitTokens / kernels.PageTokens
	attentionThreads = 256
	maxHeadDim       = 256
	// tileRows bounds a tile's queries × heads, so that two CTAs' shared memory fits
	// an SM with heads of 128: 32 rows have 98 KiB.
	tileRows = 32
	// wavesOfSplits is up to how many CTAs an SM would have, were each to do all of its
	// tile's positions, contexts are split over CTAs.
	wavesOfSplits = 4
)

// The kernels for float and integer queries, by the cache's bits.
var (
	floatAttention = map[int]string{4: "attention_f4", 8: "attention_f8", 16: "attention_f16", 32: "attention_f32"}
	intAttention   = map[int]string{4: "attention_int4", 8: "attention_int8"}
)

// PagedAttention implements kernels.Device.
func (d *Device) PagedAttention(out kernels.Floats, q kernels.Rows, kv kernels.KVCache, b *kernels.Batch, rope kernels.RoPE) {
	heads := checkAttention(out, q, kv, b, rope)
	if b.T == 0 {
		return
	}
	group, per, splits := heads/kv.KVHeads, 1, (b.MaxPages+splitPages-1)/splitPages
	if splits == 1 || b.T*kv.KVHeads >= wavesOfSplits*d.driver.Multiprocessors() {
		splits = 0
		per = max(1, min(tileRows/group, b.T))
	}
	tiles := b.T
	if per > 1 {
		tiles = b.T/per + b.S
	}
	var parts uint64
	if splits > 0 {
		parts = d.scratch(b.T * heads * splits * (kv.HeadDim + 3) * 4)
	}
	names, qBytes := floatAttention, kv.HeadDim*4
	if q.Bits != 16 {
		names = intAttention
		qBytes = (kv.VectorBytes(kv.HeadDim) + 63) / 64 * 64 * 8 / kv.Bits
	}
	s := shape{
		ctas:    [3]uint32{uint32(tiles), uint32(kv.KVHeads), uint32(max(splits, 1))},
		threads: attentionThreads,
		shared:  attentionShared(per*group, kv.HeadDim, qBytes),
	}
	d.launch(names[kv.Bits], s,
		at(out.Buf), uint64(out.Stride), parts, at(q.Q), at(q.Scale), at(q.Sum), at(q.F.Buf),
		at(kv.K), at(kv.KScale), at(kv.KZero), at(kv.V), at(kv.VScale), at(kv.VZero),
		kvSchemes[kv.Scheme], uint64(heads), uint64(kv.KVHeads), uint64(kv.HeadDim), at(rope.Cos), at(rope.Sin),
		at(b.QueryStart), at(b.SeqLens), at(b.PageTable), uint64(b.MaxPages), uint64(b.S), uint64(per))
	if splits > 0 {
		s := shape{ctas: [3]uint32{uint32(b.T * heads), 1, 1}, threads: threadsFor(4 * kv.HeadDim)}
		d.launch("merge_attention", s, at(out.Buf), uint64(out.Stride), parts, uint64(splits), at(b.Positions), uint64(heads), uint64(kv.HeadDim))
	}
}

// checkAttention panics unless all shapes agree, and returns the number of query heads.
func checkAttention(out kernels.Floats, q kernels.Rows, kv kernels.KVCache, b *kernels.Batch, rope kernels.RoPE) int {
	heads := out.Cols / kv.HeadDim
	if out.Rows != b.T || q.N != b.T*heads || q.Cols != kv.HeadDim || out.Cols%kv.HeadDim != 0 || heads%kv.KVHeads != 0 {
		panic(fmt.Sprintf("cuda: PagedAttention: out is [%d, %d], q [%d, %d], batch %d tokens, cache %d heads of %d",
			out.Rows, out.Cols, q.N, q.Cols, b.T, kv.KVHeads, kv.HeadDim))
	}
	if q.Bits != 16 && (!kv.Quantized() || kv.RotateOnRead()) {
		panic(fmt.Sprintf("cuda: PagedAttention: queries of %d bits with a cache of %d bits, scheme %s", q.Bits, kv.Bits, kv.Scheme))
	}
	if kv.RotateOnRead() && rope.HeadDim != kv.HeadDim {
		panic(fmt.Sprintf("cuda: PagedAttention: rope for heads of %d, cache of %d", rope.HeadDim, kv.HeadDim))
	}
	if kv.HeadDim%8 != 0 || kv.HeadDim > maxHeadDim {
		panic(fmt.Sprintf("cuda: PagedAttention: heads of %d; want a multiple of 8 up to %d", kv.HeadDim, maxHeadDim))
	}
	return heads
}

// attentionShared is the dynamic shared memory of Layout in paged_attention.cu.
func attentionShared(rows, dim, qBytes int) uint32 {
	r8 := (rows + 7) / 8 * 8
	n := 0
	for _, bytes := range []int{
		r8 * qBytes, r8 * 2 * splitTokens, rows * splitTokens * 4, rows * dim * 4, // q, p, s, x
		r8 * 12, r8 * 8, r8 * 12, r8 * 12, r8 * 12, rows * dim * 4, // query, sums, part, all, merge, o
	} {
		n += (bytes + 15) / 16 * 16
	}
	return uint32(n)
}
