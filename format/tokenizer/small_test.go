package tokenizer

import (
	"fmt"
	"strings"
	"testing"
)

var llamaNormalizer = Normalizer{DummyPrefix: true}

// smallSpecial are the ids around a text in smallPieces.
var smallSpecial = Special{BOS: 1, EOS: 2, AddBOS: true}

// smallPieces begins as LLaMA's vocabulary does: <unk>, <s>, </s> and, if asked for, 256 byte tokens; then
// the pieces of words, the first with the highest score.
func smallPieces(withBytes bool, words ...string) []Piece {
	pieces := []Piece{{Text: "<unk>", Kind: Unknown}, {Text: "<s>", Kind: Control}, {Text: "</s>", Kind: Control}}
	for b := 0; withBytes && b < 256; b++ {
		pieces = append(pieces, Piece{Text: fmt.Sprintf("<0x%02X>", b), Kind: Byte})
	}
	for i, w := range words {
		pieces = append(pieces, Piece{Text: w, Score: float32(-i), Kind: Normal})
	}
	return pieces
}

func smallSentencePiece(t testing.TB) *Tokenizer {
	return must(t)(NewSentencePiece(smallPieces(true, "▁▁", "ab", "▁ab", "aba", "aa", "aaaa", "▁", "a", "b", "c", "é", "日"),
		llamaNormalizer, smallSpecial))
}

// byteTokens is a byte-level vocabulary of the 256 bytes in their order, extra tokens after them.
func byteTokens(extra ...Piece) []Piece {
	var tokens []Piece
	for b := range 256 {
		tokens = append(tokens, Piece{Text: string(byteRune[b]), Kind: Normal})
	}
	return append(tokens, extra...)
}

func smallByteLevel(t testing.TB, pre string) *Tokenizer {
	tokens := byteTokens(Piece{Text: "ab"}, Piece{Text: "Ġab"}, Piece{Text: "ĠĠ"}, Piece{Text: "abc"}, Piece{Text: "xyz"},
		Piece{Text: "aa"}, Piece{Text: "aaaa"},
		Piece{Text: "<|begin_of_text|>", Kind: Control}, Piece{Text: "<think>", Kind: UserDefined})
	return must(t)(NewByteLevel(tokens, []string{"a b", "Ġ ab", "Ġ Ġ", "ab c", "a a", "aa aa"}, pre,
		Special{BOS: 263, EOS: -1, AddBOS: true}))
}

// tokens spells ids, so that a test can be read.
func tokens(tok *Tokenizer, ids []int32) string {
	var s []string
	for _, id := range ids {
		s = append(s, tok.Token(id))
	}
	return strings.Join(s, "|")
}
