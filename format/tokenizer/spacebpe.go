package tokenizer

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// spaceBPE encodes as SentencePiece's BPE does: spaces are ▁, a symbol is a character or a user-defined
// piece at first, and characters outside the vocabulary fall back to byte tokens or to unk.
type spaceBPE struct {
	bpe
	normalizer normalizer
	unk        int32
	unkSurface string // what unk decodes to
	fuseUnk    bool   // a run of unknown characters is one unk
	bytes      [256]int32
	ascii      [utf8.RuneSelf]int32 // lookup of one character
	user       *matcher             // user-defined pieces; may be nil
	byWord     bool                 // no piece crosses words
}

// NewSentencePiece makes a tokenizer from the pieces of a SentencePiece BPE vocabulary, in the order of
// their ids, with ▁ for a space. A Kind of 0 is told from the text: "<0x0A>" is a byte, "<unk>" unknown, "<s>" and
// "</s>" are control tokens, others normal.
func NewSentencePiece(pieces []Piece, n Normalizer, s Special) (*Tokenizer, error) {
	pieces = slices.Clone(pieces)
	for i, p := range pieces {
		if p.Kind == 0 {
			pieces[i].Kind = guessKind(p.Text)
		}
	}
	return newSentencePiece("vocabulary", pieces, normalizer{Normalizer: n, space: spaceSymbol}, s, defaultUnkSurface)
}

const defaultUnkSurface = " ⁇ "

func guessKind(text string) Kind {
	if _, ok := byteOf(text); ok {
		return Byte
	}
	switch text {
	case "<unk>":
		return Unknown
	case "<s>", "</s>":
		return Control
	}
	return Normal
}

func newSentencePiece(name string, pieces []Piece, n normalizer, s Special, unkSurface string) (*Tokenizer, error) {
	if err := checkPieces(name, pieces); err != nil {
		return nil, err
	}
	m := &spaceBPE{normalizer: n, unkSurface: unkSurface, fuseUnk: true}
	m.ids = index(pieces)
	m.rank = scoreRanks(pieces)
	t := newSpaceTokenizer(pieces, m, s)

	var user, special []entry
	for id, p := range pieces {
		switch p.Kind {
		case UserDefined:
			user = append(user, entry{text: p.Text, id: int32(id)})
		case Control, Unknown:
			special = append(special, entry{text: p.Text, id: int32(id)})
		case Unused:
			if m.unused == nil {
				m.unused = make([]bool, len(pieces))
			}
			m.unused[id] = true
		}
	}
	m.user = newMatcher(user)
	t.onRequest = newMatcher(special)
	return t, nil
}

// newSpaceTokenizer fills in what follows from the pieces, from m.ids and m.rank.
func newSpaceTokenizer(pieces []Piece, m *spaceBPE, s Special) *Tokenizer {
	m.unk = firstOf(pieces, Unknown)
	for b := range m.bytes {
		m.bytes[b] = -1
	}
	m.byWord = m.normalizer.space == spaceSymbol
	for id, p := range pieces {
		if b, ok := byteOf(p.Text); ok && p.Kind == Byte && m.bytes[b] < 0 {
			m.bytes[b] = int32(id)
		}
		if m.rank[id] != noRank {
			m.maxLen = max(m.maxLen, int32(len(p.Text)))
			m.byWord = m.byWord && !crossesWords(p.Text)
		}
	}
	for c := range m.ascii {
		m.ascii[c] = m.lookup(string(rune(c)))
	}
	t := &Tokenizer{pieces: pieces, ids: m.ids, unk: m.unk, model: m,
		dropSpace: m.normalizer.DummyPrefix || m.normalizer.RemoveExtra}
	t.special = t.checked(s)
	t.raw = make([]string, len(pieces))
	for id, p := range pieces {
		switch p.Kind {
		case Control:
		case Unknown:
			t.raw[id] = m.unkSurface
		case Byte:
			b, _ := byteOf(p.Text)
			t.raw[id] = string([]byte{b})
		default:
			t.raw[id] = strings.ReplaceAll(p.Text, spaceSymbol, " ")
		}
	}
	return t
}

// scoreRanks numbers the scores of pieces that text can become, 0 for the highest; equal scores share one.
func scoreRanks(pieces []Piece) []uint32 {
	rank := make([]uint32, len(pieces))
	var order []int32
	for id, p := range pieces {
		rank[id] = noRank
		if p.Text != "" && (p.Kind == Normal || p.Kind == UserDefined || p.Kind == Unused) {
			order = append(order, int32(id))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(pieces[b].Score, pieces[a].Score) })
	r, last := uint32(0), float32(math.Inf(1))
	for _, id := range order {
		if pieces[id].Score != last {
			r, last = r+1, pieces[id].Score
		}
		rank[id] = r
	}
	return rank
}

func (m *spaceBPE) encode(dst []int32, text string, first bool) []int32 {
	text = m.normalizer.apply(text, first)
	s := scratches.Get().(*scratch)
	defer s.release()
	e := emitter{m: m, s: s, ids: dst}
	for text != "" {
		n := len(text)
		if m.byWord {
			n = firstWord(text)
		}
		s.reset(utf8.RuneCountInString(text[:n]))
		m.symbols(s, text[:n])
		m.run(s, text)
		for i := int32(0); i >= 0; i = s.symbols[i].next {
			sym := &s.symbols[i]
			e.emit(text[sym.start:sym.start+sym.size], sym.id)
		}
		text = text[n:]
	}
	return e.ids
}

// symbols fills s with the characters and user-defined pieces of text.
func (m *spaceBPE) symbols(s *scratch, text string) {
	for i := 0; i < len(text); {
		if m.user != nil {
			if e := m.user.longest(text[i:]); e != nil {
				s.add(int32(len(e.text)), e.id, true)
				i += len(e.text)
				continue
			}
		}
		if c := text[i]; c < utf8.RuneSelf {
			s.add(1, m.ascii[c], false)
			i++
			continue
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		s.add(int32(n), m.lookup(text[i:i+n]), false)
		i += n
	}
}

// emitter appends the ids of merged symbols.
type emitter struct {
	m        *spaceBPE
	s        *scratch
	ids      []int32
	afterUnk bool
}

// emit appends the ids of text, which merged to id; -1 is a character outside the vocabulary.
func (e *emitter) emit(text string, id int32) {
	m := e.m
	if id < 0 {
		e.unknown(text)
		return
	}
	e.afterUnk = false
	if m.unused != nil && m.unused[id] {
		if left, ok := e.s.splits[id]; ok {
			e.emit(text[:left], m.lookup(text[:left]))
			e.emit(text[left:], m.lookup(text[left:]))
			return
		}
	}
	e.ids = append(e.ids, id)
}

func (e *emitter) unknown(text string) {
	n := len(e.ids)
	for i := range len(text) {
		id := e.m.bytes[text[i]]
		if id < 0 {
			e.ids = e.ids[:n]
			if e.m.unk >= 0 && !(e.afterUnk && e.m.fuseUnk) {
				e.ids = append(e.ids, e.m.unk)
			}
			e.afterUnk = true
			return
		}
		e.ids = append(e.ids, id)
	}
	e.afterUnk = false
}
