package cpu

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
)

// attend does a unit's splits, and writes results or parts of them.
func (t *attentionTask) attend(s *attentionScratch, u *attentionUnit) {
	t.queries(s, u)
	rows := u.rows(t.group)
	sum, part := t.partialOf(s.sum, rows), t.partialOf(s.part, rows)
	sum.reset()
	for split := u.from; split < u.to; split++ {
		first := u.firstRow(split, t.group)
		if u.part >= 0 {
			part = t.part(u, split)
			t.split(s, u, &part, split, first)
			continue
		}
		t.split(s, u, &part, split, first)
		t.merge(s, &sum, &part, first)
	}
	if u.part < 0 {
		t.store(u, &sum)
	}
}

// part is where a split's results are kept for mergeParts.
func (t *attentionTask) part(u *attentionUnit, split int) partial {
	rows := u.rows(t.group)
	return t.partialOf(t.parts[u.part+split*t.partialSize(rows):], rows)
}

// mergeParts merges the parts of a tile, of all splits.
func (t *attentionTask) mergeParts(s *attentionScratch, u *attentionUnit) {
	sum := t.partialOf(s.sum, u.rows(t.group))
	sum.reset()
	for split := range u.to {
		part := t.part(u, split)
		t.merge(s, &sum, &part, u.firstRow(split, t.group))
	}
	t.store(u, &sum)
}

// split sets p to what the rows from first on see of a split; rows before it see nothing.
func (t *attentionTask) split(s *attentionScratch, u *attentionUnit, p *partial, split, first int) {
	fill(p.m[:first], float32(math.Inf(-1)))
	clear(p.l[:first])
	start := split * splitTokens
	rows := u.rows(t.group)
	n := min(u.position+u.tokens-start, splitTokens)
	n16 := (n + 15) &^ 15
	for at := 0; at < n; at += kernels.PageTokens {
		t.prefetch(u, start+at)
		t.scores(s, u, t.page(u, start+at), start+at, at, min(n16-at, kernels.PageTokens), first)
	}
	if t.cache.Quantized() { // slots not yet written may hold anything
		clear(s.vscale[n:n16])
		clear(s.vzero[n:n16])
	}
	for r := first; r < rows; r++ { // what a query must not see
		x := s.s[r*splitTokens:][:n16]
		for i := min(u.position+r/t.group+1-start, n16); i < n16; i++ {
			x[i] = float32(math.Inf(-1))
		}
	}
	t.k.softmax(s.s[first*splitTokens:], s.vscale[:n16], s.vzero[:n16], p.m[first:rows], p.l[first:rows], p.c[first:rows])

	o := p.o[first*t.dim:]
	if t.cache.Quantized() {
		t.addInts(s, u, start, n, o, s.s[first*splitTokens:])
		return
	}
	clear(o)
	for at := 0; at < n; at += kernels.PageTokens {
		count := min(n-at, kernels.PageTokens)
		v := t.unpack(s, &t.cache.v, u.head, t.page(u, start+at), count)
		t.k.addValues(o, s.s[first*splitTokens+at:], v, count, t.dim)
	}
}

// prefetch asks for what is wanted soon: the values of the page at a position, and the
// keys of the next. Pages are too short for the hardware to find out by itself.
func (t *attentionTask) prefetch(u *attentionUnit, position int) {
	t.k.prefetch(t.cache.page(&t.cache.v, u.head, t.page(u, position), kernels.PageTokens))
	if next := position + kernels.PageTokens; next < u.position+u.tokens {
		t.k.prefetch(t.cache.page(&t.cache.k, u.head, t.page(u, next), kernels.PageTokens))
	}
}

// addInts sets o [rows, dim] to the sum of a split's n values by their weights w,
// of rows that are splitTokens apart.
func (t *attentionTask) addInts(s *attentionScratch, u *attentionUnit, start, n int, o, w []float32) {
	rows := len(o) / t.dim
	sums, unit := s.sums[:len(o)], s.unit[:rows]
	t.k.weigh(s.p, w, unit, (n+15)&^15)
	clear(sums)
	for at := 0; at < n; at += kernels.PageTokens {
		count := (min(n-at, kernels.PageTokens) + 3) &^ 3
		src := t.packed(s, &t.cache.v, u.head, t.page(u, start+at), count)
		v := s.quads[:count*t.dim]
		if t.cache.Bits == 4 {
			t.k.quads4(v, src, t.dim, int8(t.cache.NibbleOffset()))
			t.k.addInts4(sums, s.p[at:], v, count, t.dim)
			continue
		}
		t.k.quads8(v, src, t.dim)
		t.k.addInts8(sums, s.p[at:], v, count, t.dim)
	}
	for r, x := range unit {
		t.k.scaleInts(o[r*t.dim:][:t.dim], sums[r*t.dim:], x)
	}
}

// page returns the page of a position.
func (t *attentionTask) page(u *attentionUnit, position int) int {
	p := int(u.pages[position/kernels.PageTokens])
	if p < 0 || p >= t.cache.Pages {
		panic(fmt.Sprintf("cpu: PagedAttention: position %d is in page %d of %d", position, p, t.cache.Pages))
	}
	return p
}

// scores sets the scores of n keys, a multiple of 16, from position on, at column
// at of the split. It sets the scales of the values too.
func (t *attentionTask) scores(s *attentionScratch, u *attentionUnit, page, position, at, n, first int) {
	rows := u.rows(t.group)
	scores := s.s[first*splitTokens+at:]
	t.scales(s, u, page, at, n)
	if t.bits == 16 {
		k := t.keys(s, u, page, position, n)
		t.k.scoresFloat(scores, k, s.f[first*t.dim:rows*t.dim], t.scale, n, t.dim)
		return
	}
	k := t.packed(s, &t.cache.k, u.head, page, n)
	scoresInt := t.k.scores8
	if t.cache.Bits == 4 {
		scoresInt = t.k.scores4
	}
	scoresInt(scores, k, s.q[first*t.dim:], s.a[first:rows], s.kscale[:n], s.kzero[:n], t.dim, s.bytes)
}

// scales widens the scales and zeros of n tokens of a page.
func (t *attentionTask) scales(s *attentionScratch, u *attentionUnit, page, at, n int) {
	if !t.cache.Quantized() {
		return
	}
	from := t.cache.scaleAt(min(u.head, t.cache.groups()-1), page*kernels.PageTokens)
	t.k.unpack16(s.kscale[:n], t.cache.k.scale[from:][:n])
	t.k.unpack16(s.vscale[at:][:n], t.cache.v.scale[from:][:n])
	if t.cache.HasZero() {
		t.k.unpack16(s.kzero[:n], t.cache.k.zero[from:][:n])
		t.k.unpack16(s.vzero[at:][:n], t.cache.v.zero[from:][:n])
	}
}

// keys returns n keys of a page as floats [n, dim]: quant.KV.KVLoad, and rotated
// where they are stored before RoPE. The keys stand at position and after.
func (t *attentionTask) keys(s *attentionScratch, u *attentionUnit, page, position, n int) []float32 {
	k := t.unpack(s, &t.cache.k, u.head, page, n)
	if !t.cache.Quantized() {
		return k
	}
	for i := range n {
		x := k[i*t.dim:][:t.dim]
		t.k.affine(x, s.kscale[i], s.kzero[i])
		if t.dim != t.cache.dim {
			clear(x[t.cache.dim:])
		}
		if t.cache.RotateOnRead() && position+i < u.position+u.tokens {
			x = x[:t.cache.dim]
			cos, sin := t.rope.at(position + i)
			t.rows.rotateAny(x, x, cos, sin)
		}
	}
	return k
}

// packed returns n vectors of a page as they are stored, but padded to dim elements.
func (t *attentionTask) packed(s *attentionScratch, side *cacheSide, head, page, n int) []byte {
	src := t.cache.page(side, head, page, n)
	if t.dim == t.cache.dim {
		return src
	}
	size, padded := t.cache.VectorBytes(t.cache.dim), t.cache.VectorBytes(t.dim)
	for i := range n {
		copy(s.padded[i*padded:], src[i*size:][:size])
	}
	return s.padded[:n*padded]
}

// unpack returns n vectors of a page as floats [n, dim]: the integers as they
// are. The result is scratch memory, or the page itself.
func (t *attentionTask) unpack(s *attentionScratch, side *cacheSide, head, page, n int) []float32 {
	src := t.cache.page(side, head, page, n)
	x := s.floats[:n*t.dim]
	if t.dim != t.cache.dim {
		t.unpackPadded(x, src, n)
		return x
	}
	switch t.cache.Bits {
	case 4:
		t.k.unpack4(x, src, t.dim, t.cache.NibbleOffset())
	case 8:
		t.k.unpack8(x, src)
	case 16:
		t.k.unpack16(x, halves(src))
	default:
		return words(src)
	}
	return x
}

// unpackPadded is unpack for heads that are no multiple of dimAlign.
func (t *attentionTask) unpackPadded(x []float32, src []byte, n int) {
	size := t.cache.VectorBytes(t.cache.dim)
	for i := range n {
		x, src := x[i*t.dim:][:t.cache.dim], src[i*size:][:size]
		switch t.cache.Bits {
		case 4:
			unpack4Generic(x, src, t.cache.dim, t.cache.NibbleOffset())
		case 8:
			unpack8Generic(x, src)
		case 16:
			unpack16Generic(x, halves(src))
		default:
			copy(x, words(src))
		}
	}
}
