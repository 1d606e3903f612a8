//go:build cuda

package cuda

import (
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TestLaunchesOfALayer: an integer layer of decoding is ten launches, as docs/cuda.md
// has it, whatever the batch and the context: nothing that CTAs share out is put
// together by another.
func TestLaunchesOfALayer(t *testing.T) {
	const heads, dim, hidden, feed, pages = 2, 32, 64, 128, 30
	d := newTestDevice(t)
	s := &bitsCase{T: t, dev: d, rand: rand.New(rand.NewPCG(1, 1))}
	d.driver = procs{d.driver, 132}
	cache, err := kernels.NewKVCache(d, quant.KV{Bits: 4, Scheme: quant.KVHeadZP}, pages, heads, dim)
	if err != nil {
		t.Fatal(err)
	}
	rope := s.rope(pages*kernels.PageTokens, dim)
	types := []kernels.WeightType{kernels.Int4, kernels.Int4, kernels.Int4}
	for _, tokens := range []int{1, 20, 70} {
		_, qkv, _ := s.linear(1, hidden, types, []int{hidden, hidden, hidden})
		_, gateUp, _ := s.linear(1, hidden, types, []int{feed, feed})
		_, down, _ := s.linear(1, feed, types, []int{hidden})
		x, in, ff := s.floats(tokens, hidden), s.rows(tokens, hidden, 8), s.rows(tokens, feed, 8)
		q, attn, attnIn := s.queries(tokens*heads, dim, 8), s.floats(tokens, hidden), s.rows(tokens, hidden, 8)
		b := &kernels.Batch{T: tokens, S: 1, MaxPages: pages, QueryStart: put(s, []int32{0, int32(tokens)}), SeqLens: put(s, []int32{int32(tokens)})}
		table, positions := make([]int32, pages), make([]int32, tokens)
		for i := range table {
			table[i] = int32(i)
		}
		for i := range positions {
			positions[i] = int32(i)
		}
		b.PageTable, b.Positions, b.Slots = put(s, table), put(s, positions), put(s, positions)
		weight, wide, gated := s.floats(1, hidden).Buf, s.floats(tokens, 3*hidden), s.floats(tokens, 2*feed)
		layer := func() {
			d.RMSNorm(in, x, weight, 1e-5)
			d.Linear(wide, in, qkv...)
			d.RoPEAppendKV(q, cache, wide, b, rope)
			d.PagedAttention(attn, q, cache, b, rope)
			d.Quantize(attnIn, attn)
			d.LinearAdd(x, attnIn, qkv[0])
			d.RMSNorm(in, x, weight, 1e-5)
			d.Linear(gated, in, gateUp...)
			d.SwiGLU(ff, gated)
			d.LinearAdd(x, ff, down[0])
		}
		layer() // what scratch memory grows to is known then
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		layer()
		if n := len(d.queue.launches); n != 10 {
			t.Errorf("%d tokens: %d launches, want 10", tokens, n)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}
