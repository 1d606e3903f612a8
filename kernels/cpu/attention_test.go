package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// layer is one sequence's attention layer with seeded q, k and v for every position.
type layer struct {
	d                   *Device
	heads, kvHeads, dim int
	qBits, context      int
	x                   []float32 // [context, (heads+2·kvHeads)·dim]
	kv                  kernels.KVCache
	pages               []int32
	rope                kernels.RoPE
}

// How a sequence's pages lie in the cache.
var (
	inOrder   = func(i, n int) int { return i }
	scattered = func(i, n int) int { return (i*7 + 3) % n } // n no multiple of 7
)

func newLayer(d *Device, f quant.KV, heads, kvHeads, dim, qBits, context int, place func(i, n int) int) *layer {
	if !f.Quantized() || f.RotateOnRead() {
		qBits = 16
	}
	a := &layer{d: d, heads: heads, kvHeads: kvHeads, dim: dim, qBits: qBits, context: context}
	r := rand.New(rand.NewPCG(uint64(dim), uint64(heads)))
	a.x = make([]float32, context*a.cols())
	for i := range a.x {
		a.x[i] = float32(r.NormFloat64())
	}
	n := (context+kernels.PageTokens-1)/kernels.PageTokens + 1
	if n%7 == 0 {
		n++
	}
	a.kv = must(kernels.NewKVCache(d, f, n, kvHeads, dim))
	for _, b := range [][]byte{view(a.kv.K), view(a.kv.V), asBytes(view(a.kv.KScale)), asBytes(view(a.kv.VScale)),
		asBytes(view(a.kv.KZero)), asBytes(view(a.kv.VZero))} {
		for i := range b { // NaNs as float16 and float32
			b[i] = 0xff
		}
	}
	for i := range (context + kernels.PageTokens - 1) / kernels.PageTokens {
		a.pages = append(a.pages, int32(place(i, n)))
	}
	a.rope = kernels.RoPE{Positions: context, HeadDim: dim,
		Cos: must(kernels.Alloc[float32](d, context*dim/2)), Sin: must(kernels.Alloc[float32](d, context*dim/2))}
	cos, sin := view(a.rope.Cos), view(a.rope.Sin)
	for i := range cos {
		p, j := i/(dim/2), i%(dim/2)
		s, c := fp.SinCos(float64(p) * fp.Pow(10000, -2*float64(j)/float64(dim)))
		cos[i], sin[i] = float32(c), float32(s)
	}
	return a
}

func (a *layer) cols() int { return (a.heads + 2*a.kvHeads) * a.dim }

func ints(d *Device, v []int32) kernels.Buf[int32] {
	x := must(kernels.Alloc[int32](d, len(v)))
	kernels.Upload(d, x, v)
	return x
}

// batch is a pass over positions from..to-1.
func (a *layer) batch(from, to int) *kernels.Batch {
	var pos, slots []int32
	for p := from; p < to; p++ {
		pos = append(pos, int32(p))
		slots = append(slots, a.pages[p/kernels.PageTokens]*kernels.PageTokens+int32(p%kernels.PageTokens))
	}
	return &kernels.Batch{
		Positions: ints(a.d, pos), Slots: ints(a.d, slots), QueryStart: ints(a.d, []int32{0, int32(to - from)}),
		SeqLens: ints(a.d, []int32{int32(to)}), PageTable: ints(a.d, a.pages), T: to - from, S: 1, MaxPages: len(a.pages),
	}
}

func (a *layer) queries(tokens int) kernels.Rows {
	return must(kernels.NewQueries(a.d, tokens*a.heads, a.dim, a.qBits))
}

func (a *layer) qkv(from, to int) kernels.Floats {
	x := must(kernels.NewFloats(a.d, to-from, a.cols()))
	for p := from; p < to; p++ {
		copy(view(x.Buf)[(p-from)*x.Stride:], a.x[p*a.cols():][:a.cols()])
	}
	return x
}

// run appends positions from..to-1 and returns their attention [to-from, heads·dim].
func (a *layer) run(from, to int) (out []float32, q kernels.Rows) {
	b := a.batch(from, to)
	q = a.queries(to - from)
	a.d.RoPEAppendKV(q, a.kv, a.qkv(from, to), b, a.rope)
	x := must(kernels.NewFloats(a.d, to-from, a.heads*a.dim))
	a.d.PagedAttention(x, q, a.kv, b, a.rope)
	if err := a.d.Sync(); err != nil {
		panic(err)
	}
	for t := range to - from {
		out = append(out, view(x.Buf)[t*x.Stride:][:a.heads*a.dim]...)
	}
	return out, q
}

// steps runs the whole sequence in chunks of n positions.
func (a *layer) steps(n int) (out []float32) {
	for p := 0; p < a.context; p += n {
		x, _ := a.run(p, min(p+n, a.context))
		out = append(out, x...)
	}
	return out
}

var allFormats = []quant.KV{
	{Bits: 4, Scheme: quant.KVToken}, {Bits: 4, Scheme: quant.KVHead}, {Bits: 4, Scheme: quant.KVHeadZP},
	{Bits: 8, Scheme: quant.KVToken}, {Bits: 8, Scheme: quant.KVHead}, {Bits: 8, Scheme: quant.KVHeadZP},
	{Bits: 16}, {Bits: 32},
}

// eachLayer runs f for every format and kind of query, and some shapes of heads.
func eachLayer(f func(name string, kv quant.KV, heads, kvHeads, dim, qBits int)) {
	for _, kv := range allFormats {
		for _, s := range [][3]int{{3, 3, 12}, {8, 2, 32}, {8, 1, 64}, {2, 2, 48}} {
			for _, qBits := range []int{8, 16} {
				if qBits == 8 && (!kv.Quantized() || kv.RotateOnRead()) {
					continue
				}
				f(fmt.Sprintf("%+v, %d/%d heads of %d, q %d bits", kv, s[0], s[1], s[2], qBits), kv, s[0], s[1], s[2], qBits)
			}
		}
	}
}

// Every instruction set gives the bits of PagedAttention's comment, written here
// once more, query by query.
func TestAttentionDefinition(t *testing.T) {
	defined := map[string][]float32{} // of the first instruction set's cache, which holds the others'
	eachDevice(t, 3, func(t *testing.T, d *Device) {
		eachLayer(func(name string, kv quant.KV, heads, kvHeads, dim, qBits int) {
			const from, to = 498, 520 // across the border of splits
			a := newLayer(d, kv, heads, kvHeads, dim, qBits, to, scattered)
			d.RoPEAppendKV(a.queries(from), a.kv, a.qkv(0, from), a.batch(0, from), a.rope)
			got, q := a.run(from, to)
			for _, r := range []int{0, 1, heads, 15*heads + heads - 1, 16 * heads, len(got)/dim - 1} {
				query := fmt.Sprintf("%s, query %d", name, r)
				if defined[query] == nil {
					defined[query] = a.define(q, r, from+r/heads)
				}
				sameBits(t, query, got[r*dim:][:dim], defined[query])
			}
		})
	})
}

// define is the attention of row r of q, at a position.
func (a *layer) define(q kernels.Rows, r, position int) []float32 {
	var c cache
	c.set(a.kv)
	head := r % a.heads / (a.heads / a.kvHeads)
	scale := 1 / float32(math.Sqrt(float64(a.dim)))
	m, l, o := float32(math.Inf(-1)), float32(0), make([]float32, a.dim)
	for start := 0; start <= position; start += splitTokens {
		n := min(position+1-start, splitTokens)
		scores := make([]float32, n)
		m2 := float32(math.Inf(-1))
		for i := range n {
			scores[i] = a.score(&c, q, r, head, start+i, scale)
			m2 = max(m2, scores[i])
		}
		var sums, corrs [fp.Lanes]float32
		o2, weights, heaviest := make([]float32, a.dim), make([]float32, n), float32(0)
		for i, s := range scores {
			_, vscale, vzero := a.load(&c, &c.v, head, a.slot(start+i))
			e := fp.Exp(s - m2)
			sums[i%fp.Lanes] += e
			corrs[i%fp.Lanes] = fp.FMA(e, vzero, corrs[i%fp.Lanes])
			weights[i] = float32(e * vscale)
			heaviest = max(heaviest, weights[i])
		}
		ints := make([]int64, a.dim)
		for i, w := range weights {
			v, _, _ := a.load(&c, &c.v, head, a.slot(start+i))
			for j := range o2 {
				if !c.Quantized() {
					o2[j] = fp.FMA(w, v[j], o2[j])
				} else if heaviest >= weightTiny {
					ints[j] += int64(math.RoundToEven(float64(float32(w*(weightMax/heaviest))))) * int64(v[j])
				}
			}
		}
		if c.Quantized() {
			for j, x := range ints {
				o2[j] = float32(x) * float32(heaviest*(1.0/weightMax))
			}
		}
		l2, c2 := fp.Sum8(&sums), fp.Sum8(&corrs)
		top := max(m, m2)
		x, y := fp.Exp(m-top), fp.Exp(m2-top)
		l = fp.FMA(l, x, float32(l2*y))
		for j := range o {
			o[j] = fp.FMA(o[j], x, float32((o2[j]+c2)*y))
		}
		m = top
	}
	for j := range o {
		o[j] = o[j]/l + 0
	}
	return o
}

func (a *layer) slot(position int) int {
	return int(a.pages[position/kernels.PageTokens])*kernels.PageTokens + position%kernels.PageTokens
}

// load returns the stored numbers of a vector, and its group's scale and zero.
func (a *layer) load(c *cache, side *cacheSide, head, slot int) (x []float32, scale, zero float32) {
	src := c.vector(side, head, slot)
	x = make([]float32, a.dim)
	switch c.Bits {
	case 16:
		for i, h := range halves(src) {
			x[i] = quant.Float16To32(h)
		}
		return x, 1, 0
	case 32:
		copy(x, words(src))
		return x, 1, 0
	}
	group := head
	if c.Scheme == quant.KVToken {
		group = 0
	}
	at := c.scaleAt(group, slot)
	if c.HasZero() {
		zero = quant.Float16To32(side.zero[at])
	}
	symmetric := quant.KV{Bits: c.Bits, Scheme: quant.KVHead}
	const one = 0x3c00 // float16
	if c.Bits == 4 && c.HasZero() {
		symmetric.Scheme = quant.KVHeadZP
	}
	symmetric.KVLoad(x, src, one, 0)
	return x, quant.Float16To32(side.scale[at]), zero
}

func (a *layer) score(c *cache, q kernels.Rows, r, head, position int, scale float32) float32 {
	k, kscale, kzero := a.load(c, &c.k, head, a.slot(position))
	if q.Bits == 8 {
		var dot, sum int32
		for i, v := range view(q.Q)[r*a.dim:][:a.dim] {
			dot += int32(v) * int32(k[i])
			sum += int32(v)
		}
		s := fp.FMA(kzero, float32(sum), float32(kscale*float32(dot)))
		return float32(s * float32(view(q.Scale)[r]*scale))
	}
	for i := range k {
		k[i] = float32(k[i]*kscale) + kzero
	}
	if c.RotateOnRead() {
		half := a.dim / 2
		rotateGeneric(k, append([]float32(nil), k...), view(a.rope.Cos)[position*half:][:half], view(a.rope.Sin)[position*half:][:half])
	}
	var x, y [256]float32 // padded with zeros
	copy(x[:], k)
	copy(y[:], view(q.F.Buf)[r*a.dim:][:a.dim])
	return float32(fp.Dot(x[:], y[:]) * scale)
}

// A prompt gives the same bits at once, in chunks and one by one, in any pages, by
// any number of workers.
func TestAttentionChunks(t *testing.T) {
	const context = 270
	chunks := []int{1, 9, 64, 250, context}
	if testing.Short() {
		chunks = []int{9, 250}
	}
	for _, kv := range allFormats {
		one, seven, narrow := must(New(1, "")), must(New(7, "")), must(New(7, ""))
		defer one.Close()
		defer seven.Close()
		defer narrow.Close()
		narrow.attention.room = 1
		want := newLayer(one, kv, 8, 2, 32, 8, context, inOrder).steps(context)
		for _, n := range chunks {
			for _, d := range []*Device{one, seven, narrow} {
				got := newLayer(d, kv, 8, 2, 32, 8, context, scattered).steps(n)
				sameBits(t, fmt.Sprintf("%+v, chunks of %d, %d workers", kv, n, d.Workers()), got, want)
			}
		}
	}
}

// Sequences of one batch give the bits that each gives alone. Here they are
// prefixes of one prompt, which share its pages.
func TestAttentionBatch(t *testing.T) {
	const context = 300
	seqs := []struct{ from, to int }{{299, 300}, {90, 130}, {63, 64}, {250, 264}}
	eachDevice(t, 3, func(t *testing.T, d *Device) {
		for _, kv := range []quant.KV{{Bits: 4, Scheme: quant.KVHeadZP}, {Bits: 4, Scheme: quant.KVToken}, {Bits: 16}} {
			a := newLayer(d, kv, 8, 2, 32, 8, context, scattered)
			want, q := a.run(0, context)
			var rows, pos, lens, table []int32
			starts := []int32{0}
			for _, s := range seqs {
				for p := s.from; p < s.to; p++ {
					pos = append(pos, int32(p))
					for h := range a.heads {
						rows = append(rows, int32(p*a.heads+h))
					}
				}
				starts, lens = append(starts, int32(len(pos))), append(lens, int32(s.to))
				table = append(table, a.pages...)
			}
			picked := a.queries(len(pos))
			for i, r := range rows {
				if q.Bits == 16 {
					copy(view(picked.F.Buf)[i*a.dim:][:a.dim], view(q.F.Buf)[int(r)*a.dim:])
					continue
				}
				copy(view(picked.Q)[i*a.dim:][:a.dim], view(q.Q)[int(r)*a.dim:])
				view(picked.Scale)[i], view(picked.Sum)[i] = view(q.Scale)[r], view(q.Sum)[r]
			}
			out := must(kernels.NewFloats(d, len(pos), a.heads*a.dim))
			d.PagedAttention(out, picked, a.kv, &kernels.Batch{
				Positions: ints(d, pos), QueryStart: ints(d, starts), SeqLens: ints(d, lens),
				PageTable: ints(d, table), T: len(pos), S: len(seqs), MaxPages: len(a.pages),
			}, a.rope)
			for i, p := range pos {
				sameBits(t, fmt.Sprintf("%+v, position %d", kv, p), view(out.Buf)[i*out.Stride:], want[int(p)*a.heads*a.dim:][:a.heads*a.dim])
			}
		}
	})
}

// However many long tiles there are, their parts have no more room than there is, or
// are one tile's, and every split of every tile is in one unit.
func TestAttentionCut(t *testing.T) {
	const tiles, splits, room = 40, 512, 1 << 20
	a := attentionTask{group: 4, dim: 32, room: room}
	want := []int{1} // splits of each tile
	for range tiles {
		want = append(want, splits)
	}
	want = append(want, room/a.partialSize(tileRows)+1)
	for i, n := range want {
		a.units = append(a.units, attentionUnit{token: i, tokens: tileRows / 4, to: n, part: -1})
	}
	done := make([]map[int]int, len(want))
	for i := range done {
		done[i] = map[int]int{}
	}
	merged, rounds := 0, 0
	for a.setLong(tileRows * splits / 8); a.next(); rounds++ {
		merged += len(a.merges)
		if len(a.merges) > 1 && len(a.parts) > room {
			t.Errorf("parts of %d floats for %d tiles, want at most %d", len(a.parts), len(a.merges), room)
		}
		for _, u := range a.units {
			for s := u.from; s < u.to; s++ {
				done[u.token][s]++
			}
			if end := u.part + u.to*a.partialSize(u.rows(a.group)); end > len(a.parts) && u.part >= 0 {
				t.Errorf("tile %d: parts end at %d of %d", u.token, end, len(a.parts))
			}
		}
		a.units = a.units[:0]
	}
	for i, n := range want {
		for s := range n {
			if done[i][s] != 1 {
				t.Fatalf("split %d of tile %d is done %d times", s, i, done[i][s])
			}
		}
		if len(done[i]) != n {
			t.Errorf("tile %d: %d splits, want %d", i, len(done[i]), n)
		}
	}
	if merged != tiles+1 || rounds < 3 {
		t.Errorf("%d tiles cut in %d rounds, want %d in several", merged, rounds, tiles+1)
	}
}

// A context that grows by a split at a time has new memory for its parts now and then.
func TestAttentionPartsGrow(t *testing.T) {
	a := attentionTask{group: 4, dim: 32, room: maxParts}
	times := 0
	for splits := 2; splits < 300; splits++ {
		before := len(a.parts)
		a.units, a.long, a.started = append(a.units[:0], attentionUnit{tokens: 1, to: splits, part: -1}), a.long[:0], 0
		a.setLong(1)
		a.next()
		if len(a.parts) != before {
			times++
		}
	}
	if times > 14 { // 2·1.5¹³ > 300
		t.Errorf("new memory %d times", times)
	}
}
