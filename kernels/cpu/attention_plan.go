package cpu

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

// tileRows is the number of queries, times heads of a KV head, that read a key
// page together, where a sequence has that many: enough to spread the cost of
// unpacking it, few enough for scores [tileRows, splitTokens] to stay in the
// second-level cache.
const tileRows = 64

// attentionUnit is some queries of one sequence, the heads of one KV head, and a
// range of splits.
type attentionUnit struct {
	pages         []int32 // of the sequence
	token, tokens int     // in the batch
	position      int     // of the first token
	head          int     // KV head
	from, to      int     // splits
	part          int     // where results of split 0 go in parts; -1: the unit does all splits
}

// rows is the number of the unit's queries.
func (u *attentionUnit) rows(group int) int { return u.tokens * group }

// firstRow returns the first row that sees any of a split.
func (u *attentionUnit) firstRow(split, group int) int {
	return max(0, split*splitTokens-u.position) * group
}

// plan cuts the batch in units. Late tiles of a sequence, which see most, come
// first. Where the work has fewer tiles than workers want, long tiles are cut in ranges
// of splits, so that no unit is more than a fourth of a worker's share.
func (t *attentionTask) plan(b *kernels.Batch, workers int) {
	starts, lens, table, positions := view(b.QueryStart), view(b.SeqLens), view(b.PageTable), view(b.Positions)
	t.units, t.long, t.started = t.units[:0], t.long[:0], 0
	work, rows := 0, 0
	for s := range b.S {
		from, to, length := int(starts[s]), int(starts[s+1]), int(lens[s])
		if from < 0 || to < from || to > b.T || length < to-from || (length+kernels.PageTokens-1)/kernels.PageTokens > b.MaxPages {
			panic(fmt.Sprintf("cpu: PagedAttention: sequence %d has tokens %d..%d of %d, length %d, %d pages", s, from, to, b.T, length, b.MaxPages))
		}
		if to > from && int(positions[to-1]) != length-1 {
			panic(fmt.Sprintf("cpu: PagedAttention: sequence %d of length %d ends at position %d", s, length, positions[to-1]))
		}
		u := attentionUnit{pages: table[s*b.MaxPages:][:b.MaxPages], part: -1}
		per := max(1, tileRows/t.group)
		for end := to; end > from; end -= u.tokens {
			u.tokens = (end-from-1)%per + 1
			u.token, u.position = end-u.tokens, length-to+end-u.tokens
			u.to = (u.position+u.tokens-1)/splitTokens + 1
			for u.head = range t.cache.heads {
				t.units = append(t.units, u)
			}
			work += u.to * u.rows(t.group) * t.cache.heads
			rows = max(rows, u.rows(t.group))
		}
	}
	if workers > 1 {
		t.setLong(max(1, work/(4*workers)))
	}
	t.grow(workers, rows)
}

// setLong takes tiles of more than limit rows·splits out of the units.
func (t *attentionTask) setLong(limit int) {
	t.limit = limit
	short := t.units[:0]
	for _, u := range t.units {
		if u.to > t.step(&u) {
			t.long = append(t.long, u)
		} else {
			short = append(short, u)
		}
	}
	t.units = short
}

// step is the number of splits in each unit of a long tile.
func (t *attentionTask) step(u *attentionUnit) int { return max(1, t.limit/u.rows(t.group)) }

// maxParts is attentionTask.room: 64 MiB. Contexts of a million positions are done some
// tiles at a time.
const maxParts = 16 << 20

// next adds to the units those of as many long tiles as there is room for, and returns
// whether there is any unit.
func (t *attentionTask) next() bool {
	t.merges = t.merges[:0]
	size := 0
	for ; t.started < len(t.long); t.started++ {
		u := t.long[t.started]
		floats := u.to * t.partialSize(u.rows(t.group))
		if size > 0 && size+floats > t.room {
			break
		}
		u.part = size
		size += floats
		t.merges = append(t.merges, u)
		splits, step := u.to, t.step(&u)
		for u.from = 0; u.from < splits; u.from += step {
			u.to = min(u.from+step, splits)
			t.units = append(t.units, u)
		}
	}
	if len(t.parts) < size { // by half at least: a context grows by a split at a time
		t.parts = make([]float32, max(size, min(len(t.parts)*3/2, t.room)))
	}
	return len(t.units) > 0
}

// attentionScratch is one worker's memory.
type attentionScratch struct {
	q []int8     // queries [rows, dim]
	a []intQuery // [rows]
	f []float32  // queries [rows, dim]

	s             []float32 // scores [rows, splitTokens]
	part, sum     []float32 // partials
	before, after []float32 // factors of what was seen before a split, and in it [rows, padded to eight]

	p    []uint8   // weights as integers [rows, 2, splitTokens]
	unit []float32 // what one of them stands for [rows]
	sums []int32   // of integers, of a split [rows, dim]

	padded []uint8   // vectors of a page [PageTokens, dim·Bits/8]
	bytes  []uint8   // keys of a page [PageTokens, dim], in any order
	quads  []int8    // values of a page [PageTokens/4, dim, 4]
	floats []float32 // keys or values of a page [PageTokens, dim]

	kscale, kzero [kernels.PageTokens]float32
	vscale, vzero [splitTokens]float32
}

// grow makes scratch memory for tiles of the given number of rows.
func (t *attentionTask) grow(workers, rows int) {
	for len(t.scratch) < workers {
		t.scratch = append(t.scratch, &attentionScratch{})
	}
	for _, s := range t.scratch {
		if len(s.floats) < kernels.PageTokens*t.dim {
			s.floats = make([]float32, kernels.PageTokens*t.dim)
			s.padded = make([]uint8, kernels.PageTokens*t.dim)
			s.bytes = make([]uint8, kernels.PageTokens*t.dim)
			s.quads = make([]int8, kernels.PageTokens*t.dim)
		}
		if len(s.s) < rows*splitTokens {
			s.s = make([]float32, rows*splitTokens)
			s.p = make([]uint8, rows*2*splitTokens)
			s.a = make([]intQuery, rows)
			s.unit = make([]float32, rows)
			s.before, s.after = make([]float32, eights(rows)), make([]float32, eights(rows))
		}
		if len(s.q) < rows*t.dim {
			s.q = make([]int8, rows*t.dim)
			s.sums = make([]int32, rows*t.dim)
			s.f = make([]float32, rows*t.dim)
		}
		if n := t.partialSize(rows); len(s.sum) < n {
			s.part, s.sum = make([]float32, n), make([]float32, n)
		}
		if t.dim != t.cache.dim { // padding stays zero
			clear(s.q)
			clear(s.f)
			clear(s.padded)
			clear(s.floats)
		}
		fill(s.kscale[:], 1)
		fill(s.vscale[:], 1)
		clear(s.kzero[:])
		clear(s.vzero[:])
	}
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}
