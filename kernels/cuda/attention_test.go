//go:build cuda

package cuda

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TestAttentionFits: tiles are cut so that their shared memory fits, wherever that is
// 99 KiB or more, and where it is, results are the same.
func TestAttentionFits(t *testing.T) {
	for _, limit := range []int{99 << 10, 163 << 10, 227 << 10} {
		for _, bits := range []int{4, 8, 16, 32} {
			for dim := 2; dim <= kernels.MaxHeadDim; dim += 2 {
				for _, ints := range []bool{false, bits <= 8} {
					for _, parts := range []bool{false, true} {
						a := attentionShape{dim: dim, bits: bits, intQueries: ints, parts: parts}
						for _, group := range []int{1, 5, 8, 31, 32, 33, 71} {
							per, heads := a.cut(limit, group, 1000)
							if n := a.shared(per * heads); n > limit || per < 1 || heads < min(group, tileRows/2) || heads > group || per*heads > tileRows {
								t.Errorf("%+v, groups of %d: %d tokens by %d heads, %d bytes of %d", a, group, per, heads, n, limit)
							}
						}
					}
				}
			}
		}
	}
	gpu := desktop(t)
	for i, c := range []struct {
		group int
		kv    quant.KV
		qBits int
	}{
		{1, quant.KV{Bits: 8, Scheme: quant.KVToken}, 16}, // 144 KiB, were a tile to have 32 rows
		{40, quant.KV{Bits: 32}, 16},
		{9, quant.KV{Bits: 4, Scheme: quant.KVHeadZP}, 8},
	} {
		sameBits(t, gpu, i, func(s *bitsCase) { s.attention(1, c.group, kernels.MaxHeadDim, c.kv, c.qBits) })
	}
}

// TestAttentionShared: the kernel refuses less shared memory than its layout has; the
// emulated one, under which all other tests run, also more.
func TestAttentionShared(t *testing.T) {
	d, _ := fake(t)
	s := &bitsCase{T: t, dev: d, rand: rand.New(rand.NewPCG(1, 1))}
	s.attention(1, 2, 64, quant.KV{Bits: 4, Scheme: quant.KVHead}, 8)
	d.driver = &sharing{driver: d.driver}
	s.attention(1, 2, 64, quant.KV{Bits: 4, Scheme: quant.KVHead}, 8)
	want(t, d.Sync(), "unspecified launch failure")
}

// sharing is a driver that gives kernels 16 bytes of dynamic shared memory too few.
type sharing struct{ driver }

func (s *sharing) Launch(l []launch, params []uint64) error {
	for i := range l {
		if l[i].shared > 0 {
			l[i].shared -= 16
		}
	}
	return s.driver.Launch(l, params)
}

// TestPlaces: a position, slot or page that is not there is an error that names a
// token, and the next step is as if nothing had been.
func TestPlaces(t *testing.T) {
	const tokens, pages, heads, dim, rotations = 3, 6, 2, 32, 400
	d := newTestDevice(t)
	real := d.driver
	for _, kv := range []quant.KV{{Bits: 4, Scheme: quant.KVToken}, {Bits: 8, Scheme: quant.KVHeadZP}, {Bits: 16}} {
		s := &bitsCase{T: t, dev: d, rand: rand.New(rand.NewPCG(1, 1))}
		cache, err := kernels.NewKVCache(d, kv, pages, heads, dim)
		if err != nil {
			t.Fatal(err)
		}
		rope := s.rope(rotations, dim)
		q, qkv := s.queries(tokens*heads, dim, 16), []kernels.Floats{s.floats(tokens, 3*heads*dim), s.floats(tokens, 3*heads*dim)}
		out := s.floats(tokens, heads*dim)
		// a sequence of 300 tokens in 5 pages of 6, the last 3 of them in this batch
		positions, slots := []int32{297, 298, 299}, []int32{41, 42, 43}
		lens, table := []int32{300}, []int32{5, 4, 3, 2, 0, -1}
		batch := func() *kernels.Batch {
			return &kernels.Batch{T: tokens, S: 1, MaxPages: len(table), Positions: put(s, positions), Slots: put(s, slots),
				QueryStart: put(s, []int32{0, tokens}), SeqLens: put(s, lens), PageTable: put(s, table)}
		}
		step := func(i int) error {
			b := batch()
			d.RoPEAppendKV(q, cache, qkv[i], b, rope)
			d.PagedAttention(out, q, cache, b, rope)
			return d.Sync()
		}
		good := func() (r []output) {
			s.results = nil
			for i := range qkv {
				if err := step(i); err != nil {
					t.Fatal(err)
				}
				read(s, "", out.Buf)
			}
			return s.results
		}
		right := good()
		for _, n := range []int{1, 100} { // SMs: a CTA does all splits, or one
			d.driver = procs{real, n}
			for _, bad := range []struct {
				at     *int32
				value  int32
				errors []string
			}{
				{&positions[1], rotations, []string{"cuda: RoPEAppendKV: row 1: its position has no rotation"}},
				{&positions[2], -1, []string{"cuda: RoPEAppendKV: row 2"}},
				{&slots[0], -1, []string{"cuda: RoPEAppendKV: row 0", "no such slot"}},
				{&slots[2], pages * kernels.PageTokens, []string{"cuda: RoPEAppendKV: row 2", "no such slot"}},
				{&table[0], -1, []string{"cuda: PagedAttention: row 0", "page"}},
				{&table[3], pages, []string{"cuda: PagedAttention: row 0", "page"}},
				{&table[4], pages, []string{"cuda: PagedAttention: row 0", "page"}},
				{&lens[0], 6*kernels.PageTokens + 1, []string{"cuda: PagedAttention: row", "its position"}},
				{&lens[0], 2, []string{"cuda: PagedAttention: row 0: its position"}},
			} {
				was := *bad.at
				*bad.at = bad.value
				want(t, step(0), bad.errors...)
				*bad.at = was
				for i, got := range good() {
					if !slices.Equal(got.values, right[i].values) {
						t.Fatalf("%+v, %d SMs: results are others after %q", kv, n, bad.errors)
					}
				}
			}
			if !kv.RotateOnRead() {
				continue
			}
			short := rope
			short.Positions = 299 // of position 299
			d.PagedAttention(out, q, cache, batch(), short)
			want(t, d.Sync(), "cuda: PagedAttention: row", "its position")
		}
	}
}
