package tokenizer

import (
	"math"
	"slices"
	"sync"
)

// bpe merges neighbouring symbols, best rank first and leftmost among equals, until nothing merges.
// A byte-level or Hugging Face vocabulary lists its merges; SentencePiece's are implied by the pieces:
// any two neighbours merge that spell a piece.
type bpe struct {
	pairs map[uint64]merge // by left id<<32 | right id; nil for SentencePiece

	ids    map[string]int32
	rank   []uint32 // SentencePiece: by id, 0 for the highest score; noRank for what text cannot become
	maxLen int32    // bytes in the longest piece
	unused []bool   // by id; nil if no piece is unused
}

const noRank = math.MaxUint32

type merge struct {
	rank uint32
	id   int32
}

func pairKey(l, r int32) uint64 { return uint64(uint32(l))<<32 | uint64(uint32(r)) }

// symbol is a run of text that is one token so far, in a list linked by index. size 0: merged into another.
type symbol struct {
	start, size int32
	prev, next  int32 // -1 at the ends
	id          int32 // -1: not in the vocabulary
	frozen      bool  // a user-defined piece: never merged
}

// scratch is one encoding's memory.
type scratch struct {
	symbols []symbol
	heap    candidates
	splits  map[int32]int32 // SentencePiece: bytes in the left half of an unused piece
	pushed  int             // candidates since reset; a test bounds them
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// release returns s to the pool, unless one long text has made it large.
func (s *scratch) release() {
	if cap(s.symbols) <= 1<<16 {
		scratches.Put(s)
	}
}

// reset empties s and makes room for n symbols, so that a long text does not grow it step by step.
func (s *scratch) reset(n int) {
	s.symbols = slices.Grow(s.symbols[:0], n)
	s.heap = slices.Grow(s.heap[:0], n)
	s.pushed = 0
	clear(s.splits)
}

// add appends a symbol of size bytes to the list.
func (s *scratch) add(size, id int32, frozen bool) {
	n := int32(len(s.symbols))
	start := int32(0)
	if n > 0 {
		last := &s.symbols[n-1]
		last.next = n
		start = last.start + last.size
	}
	s.symbols = append(s.symbols, symbol{start: start, size: size, prev: n - 1, next: -1, id: id, frozen: frozen})
}

// run merges the symbols of s, which cover text. Each merge removes one symbol and adds at most two
// candidates, so n symbols cost O(n log n).
func (b *bpe) run(s *scratch, text string) {
	for i := range len(s.symbols) - 1 {
		b.consider(s, text, int32(i))
	}
	for len(s.heap) > 0 {
		c := s.heap.pop()
		l := &s.symbols[uint32(c.key)]
		// Symbols only grow, so the same two lengths together mean the same pair.
		if l.size == 0 || l.next < 0 || l.size+s.symbols[l.next].size != c.size {
			continue
		}
		r := &s.symbols[l.next]
		l.size, l.id, l.next = c.size, c.id, r.next
		r.size = 0
		if l.next >= 0 {
			s.symbols[l.next].prev = int32(uint32(c.key))
			b.consider(s, text, int32(uint32(c.key)))
		}
		if l.prev >= 0 {
			b.consider(s, text, l.prev)
		}
	}
}

// consider puts the pair that begins with symbol i on the heap, if it merges. i is not the last symbol.
func (b *bpe) consider(s *scratch, text string, i int32) {
	l := &s.symbols[i]
	r := &s.symbols[l.next]
	if l.frozen || r.frozen {
		return
	}
	size := l.size + r.size
	var m merge
	if b.pairs != nil {
		if l.id < 0 || r.id < 0 {
			return
		}
		var ok bool
		if m, ok = b.pairs[pairKey(l.id, r.id)]; !ok {
			return
		}
	} else {
		if size > b.maxLen {
			return
		}
		m.id = b.lookup(text[l.start : l.start+size])
		if m.id < 0 {
			return
		}
		m.rank = b.rank[m.id]
		if b.unused != nil && b.unused[m.id] {
			s.split(m.id, l.size)
		}
	}
	s.pushed++
	s.heap.push(candidate{key: uint64(m.rank)<<32 | uint64(i), size: size, id: m.id})
}

func (s *scratch) split(id, left int32) {
	if s.splits == nil {
		s.splits = make(map[int32]int32)
	}
	s.splits[id] = left
}

// lookup returns the id that plain text may become, or -1.
func (b *bpe) lookup(text string) int32 {
	if id, ok := b.ids[text]; ok && b.rank[id] != noRank {
		return id
	}
	return -1
}
