package tokenizer

import "strings"

// spaceSymbol stands for a space in the pieces of a SentencePiece vocabulary.
const spaceSymbol = "▁"

// Normalizer says what SentencePiece does to a text before it is cut into pieces.
type Normalizer struct {
	DummyPrefix bool // a space goes before the text, so that its first word looks like any other
	RemoveExtra bool // spaces at both ends go, runs of them become one
}

// normalizer is Normalizer with what only some files ask for.
type normalizer struct {
	Normalizer
	onlyFirst bool   // the dummy prefix stands before the text, not after each special token
	space     string // what a space becomes
}

// apply returns text as the pieces spell it; first says that it begins the text.
func (n normalizer) apply(text string, first bool) string {
	if n.RemoveExtra {
		text = collapseSpaces(text)
	}
	if text == "" {
		return ""
	}
	if n.space != " " {
		text = strings.ReplaceAll(text, " ", n.space)
	}
	if n.DummyPrefix && (first || !n.onlyFirst) {
		text = n.space + text
	}
	return text
}

// collapseSpaces knows U+0020 only, as SentencePiece does.
func collapseSpaces(text string) string {
	text = strings.Trim(text, " ")
	if !strings.Contains(text, "  ") {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := range len(text) {
		if text[i] != ' ' || text[i-1] != ' ' {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// firstWord returns the length of the first word of normalized text: its spaces and what follows up to the
// next one.
func firstWord(text string) int {
	i := 0
	for strings.HasPrefix(text[i:], spaceSymbol) {
		i += len(spaceSymbol)
	}
	if n := strings.Index(text[i:], spaceSymbol); n >= 0 {
		return i + n
	}
	return len(text)
}

// crossesWords says whether a piece holds a space after something else. Without such pieces merges stay
// within words, and words can be cut one by one.
func crossesWords(piece string) bool { return firstWord(piece) < len(piece) }
