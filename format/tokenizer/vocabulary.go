package tokenizer

import (
	"fmt"
	"slices"
)

// Vocabulary is a tokenizer in the terms of a GGUF file: what NewSentencePiece and NewByteLevel take.
type Vocabulary struct {
	ByteLevel  bool
	Pieces     []Piece    // by id; each has a text of its own
	Normalizer Normalizer // of SentencePiece's kind
	Merges     []string   // byte-level: "a b", best first
	Pre        string     // byte-level: the name of its pre-tokenizer
}

// Vocabulary returns t in those terms. Where merges order a vocabulary of SentencePiece's kind, as a tokenizer.json
// has them, a piece's score is the rank of the first merge that makes it. What has no such terms is an ErrUnsupported.
func (t *Tokenizer) Vocabulary() (Vocabulary, error) {
	v := Vocabulary{Pieces: slices.Clone(t.pieces)}
	switch m := t.model.(type) {
	case *spaceBPE:
		if m.normalizer.space != spaceSymbol {
			return v, fmt.Errorf("a vocabulary that spells a space as %q, want %q: %w", m.normalizer.space, spaceSymbol, ErrUnsupported)
		}
		v.Normalizer = m.normalizer.Normalizer
		m.score(v.Pieces)
		if t.unk >= 0 {
			v.Pieces[t.unk].Kind = Unknown
		}
	case *byteLevel:
		i := slices.IndexFunc(preTokenizers, func(p preTokenizer) bool {
			return p.llama3 == m.pre.llama3 && p.digits == m.pre.digits && p.ignoreMerges == m.ignoreMerge
		})
		if i < 0 {
			return v, fmt.Errorf("pre-tokenizer %q with ignore_merges %t has no name in GGUF: %w", m.pre.name, m.ignoreMerge, ErrUnsupported)
		}
		v.ByteLevel, v.Merges, v.Pre = true, m.merges, preTokenizers[i].name
	}
	for id := range v.Pieces { // ids that no token has
		if p := &v.Pieces[id]; p.Text == "" {
			*p = Piece{Text: fmt.Sprintf("[PAD%d]", id), Kind: Unused}
		}
	}
	return v, nil
}

// score orders pieces as m's merges do, where it has a list of them.
func (m *spaceBPE) score(pieces []Piece) {
	for _, p := range m.pairs {
		if s := -1 - float32(p.rank); pieces[p.id].Score == 0 || s > pieces[p.id].Score {
			pieces[p.id].Score = s
		}
	}
}
