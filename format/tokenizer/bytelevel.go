package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// byteLevel encodes as GPT-2 and Llama 3 do: the text is split into words, a word's bytes are its first
// symbols, and a list of merges joins them.
type byteLevel struct {
	bpe
	pre         preTokenizer
	ignoreMerge bool             // a word that is a token is that token, whatever the merges say
	words       map[string]int32 // raw bytes to id, for ignoreMerge
	bytes       [256]int32       // -1: no such token
	unk         int32            // for those; -1: dropped
	merges      []string         // as "a b", for File
}

// preTokenizer is a way to split, under the name that GGUF's tokenizer.ggml.pre has for it.
type preTokenizer struct {
	name         string
	llama3       bool // splitLlama3, else splitGPT2
	digits       bool // every number character is a word of its own, before the text is split
	ignoreMerges bool // what the name implies in a GGUF file; tokenizer.json says it itself
}

var preTokenizers = []preTokenizer{
	{name: "llama-bpe", llama3: true, ignoreMerges: true},
	{name: "llama3", llama3: true, ignoreMerges: true},
	{name: "llama-v3", llama3: true, ignoreMerges: true},
	{name: "falcon3", llama3: true, ignoreMerges: true},
	{name: "smaug-bpe", llama3: true},
	{name: "gpt-2"},
	{name: "smollm", digits: true},
}

func preTokenizerNamed(name string) (preTokenizer, bool) {
	i := slices.IndexFunc(preTokenizers, func(p preTokenizer) bool { return p.name == name })
	if i < 0 {
		return preTokenizer{}, false
	}
	return preTokenizers[i], true
}

// NewByteLevel makes a tokenizer from a byte-level vocabulary in the order of its ids, spelled in GPT-2's
// byte alphabet ("Ġthe"), its merges "a b", best first, and the name of its pre-tokenizer as GGUF spells it.
// A Kind of 0 is normal. pre "" is taken for "gpt-2".
func NewByteLevel(tokens []Piece, merges []string, pre string, s Special) (*Tokenizer, error) {
	const name = "vocabulary"
	p, ok := preTokenizerNamed(pre)
	if pre == "" {
		p, ok = preTokenizerNamed("gpt-2")
	}
	if !ok {
		return nil, fmt.Errorf("%s: pre-tokenizer %.80q: %w", name, pre, ErrUnsupported)
	}
	tokens = slices.Clone(tokens)
	var always, special []entry
	for id := range tokens {
		t := &tokens[id]
		t.Score = 0
		switch t.Kind {
		case UserDefined:
			always = append(always, entry{text: t.Text, id: int32(id)})
		case Control, Unknown:
			t.Kind = Control
			special = append(special, entry{text: t.Text, id: int32(id)})
		case 0, Unused, Byte:
			t.Kind = Normal
		}
		// tokenizer.json, which File has to write, can hold neither.
		if !utf8.ValidString(t.Text) {
			return nil, fmt.Errorf("%s: token %d %.40q is not UTF-8: %w", name, id, t.Text, ErrCorrupt)
		}
	}
	if ids := index(tokens); len(ids) != len(tokens) {
		for id, t := range tokens {
			if first, ok := ids[t.Text]; !ok || int(first) != id {
				return nil, fmt.Errorf("%s: token %d %.40q is empty or a duplicate: %w", name, id, t.Text, ErrCorrupt)
			}
		}
	}
	t, err := newByteLevel(name, tokens, slices.Clone(merges), p, p.ignoreMerges, s)
	if err != nil {
		return nil, err
	}
	t.always = newMatcher(always)
	t.onRequest = newMatcher(slices.Concat(always, special))
	return t, nil
}

func newByteLevel(name string, tokens []Piece, merges []string, pre preTokenizer, ignoreMerges bool, s Special) (*Tokenizer, error) {
	if err := checkPieces(name, tokens); err != nil {
		return nil, err
	}
	m := &byteLevel{pre: pre, ignoreMerge: ignoreMerges, unk: -1, merges: merges}
	m.ids = index(tokens)
	t := &Tokenizer{pieces: tokens, ids: m.ids, unk: -1, model: m, raw: make([]string, len(tokens))}
	t.special = t.checked(s)
	for b := range m.bytes {
		m.bytes[b] = -1
	}
	if ignoreMerges {
		m.words = make(map[string]int32, len(tokens))
	}
	for id, p := range tokens {
		switch p.Kind {
		case Control:
			continue
		case UserDefined:
			t.raw[id] = p.Text
			continue
		}
		raw, ok := fromByteAlphabet(p.Text)
		t.raw[id] = raw
		if !ok || raw == "" {
			continue
		}
		if len(raw) == 1 {
			m.bytes[raw[0]] = int32(id)
		}
		if ignoreMerges {
			m.words[raw] = int32(id)
		}
	}
	var err error
	m.pairs, err = mergeTable(name, m.ids, merges)
	return t, err
}

// mergeTable turns merges "a b", best first, into ids. Of merges of the same pair the first counts.
func mergeTable(name string, ids map[string]int32, merges []string) (map[uint64]merge, error) {
	if len(merges) > maxVocab {
		return nil, fmt.Errorf("%s: %d merges, at most %d: %w", name, len(merges), maxVocab, ErrCorrupt)
	}
	pairs := make(map[uint64]merge, len(merges))
	var joined []byte
	for rank, text := range merges {
		a, b, ok := strings.Cut(text, " ")
		if !ok || a == "" || b == "" || strings.Contains(b, " ") {
			return nil, fmt.Errorf("%s: merge %d is %.80q, want two tokens and a space: %w", name, rank, text, ErrCorrupt)
		}
		joined = append(append(joined[:0], a...), b...)
		l, okl := ids[a]
		r, okr := ids[b]
		id, ok := ids[string(joined)]
		if !okl || !okr || !ok {
			return nil, fmt.Errorf("%s: merge %d %.80q: the vocabulary lacks one of %.40q, %.40q, %.80q: %w",
				name, rank, text, a, b, joined, ErrCorrupt)
		}
		if _, dup := pairs[pairKey(l, r)]; !dup {
			pairs[pairKey(l, r)] = merge{rank: uint32(rank), id: id}
		}
	}
	return pairs, nil
}

func (m *byteLevel) encode(dst []int32, text string, _ bool) []int32 {
	s := scratches.Get().(*scratch)
	defer s.release()
	split := splitGPT2
	if m.pre.llama3 {
		split = splitLlama3
	}
	for text != "" {
		part := text
		if m.pre.digits {
			part = text[:beforeNumber(text)]
		}
		text = text[len(part):]
		for part != "" {
			n := split(part)
			dst = m.encodeWord(dst, s, part[:n])
			part = part[n:]
		}
	}
	return dst
}

func (m *byteLevel) encodeWord(dst []int32, s *scratch, word string) []int32 {
	if m.ignoreMerge {
		if id, ok := m.words[word]; ok {
			return append(dst, id)
		}
	}
	s.reset(len(word))
	for i := range len(word) {
		s.add(1, m.bytes[word[i]], false)
	}
	m.run(s, word)
	for i := int32(0); i >= 0; i = s.symbols[i].next {
		if id := s.symbols[i].id; id >= 0 {
			dst = append(dst, id)
		} else if m.unk >= 0 {
			dst = append(dst, m.unk)
		}
	}
	return dst
}
