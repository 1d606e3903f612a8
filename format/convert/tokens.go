package convert

import (
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// synthTokenizer makes a vocabulary of c's size: its special ids, a token for every
// byte, the printable ASCII characters, then strings of lower-case letters, short
// ones first, each with and without a space before it, as far as there is room.
func synthTokenizer(c *format.Config) (*tokenizer.Tokenizer, error) {
	if need := 257 + len(c.EOSTokenIDs) + 1; c.VocabSize < need {
		return nil, fmt.Errorf("vocab_size is %d, a byte-fallback tokenizer needs %d: %w", c.VocabSize, need, format.ErrUnsupported)
	}
	pieces := make([]tokenizer.Piece, c.VocabSize)
	special := tokenizer.Special{BOS: -1, EOS: -1}
	if c.BOSTokenID >= 0 {
		pieces[c.BOSTokenID] = tokenizer.Piece{Text: "<s>", Kind: tokenizer.Control}
		special.BOS, special.AddBOS = int32(c.BOSTokenID), true
	}
	for i, id := range c.EOSTokenIDs {
		text := "</s>"
		if i > 0 {
			text = fmt.Sprintf("</s%d>", i)
		} else {
			special.EOS = int32(id)
		}
		pieces[id] = tokenizer.Piece{Text: text, Kind: tokenizer.Control}
	}
	next := synthPieces()
	for id := range pieces {
		if pieces[id].Kind == 0 {
			p := next()
			p.Score = -float32(id) // earlier ones, which are parts of later ones, merge first
			pieces[id] = p
		}
	}
	return tokenizer.NewSentencePiece(pieces, tokenizer.Normalizer{DummyPrefix: true}, special)
}

// synthPieces returns the pieces of a vocabulary, one a call, without end.
func synthPieces() func() tokenizer.Piece {
	const space = "▁"
	n := 0
	return func() tokenizer.Piece {
		i := n
		n++
		if i == 0 {
			return tokenizer.Piece{Text: "<unk>", Kind: tokenizer.Unknown}
		}
		if i--; i < 256 {
			return tokenizer.Piece{Text: fmt.Sprintf("<0x%02X>", i), Kind: tokenizer.Byte}
		}
		if i -= 256; i == 0 {
			return tokenizer.Piece{Text: space, Kind: tokenizer.Normal}
		}
		if i--; i < '~'-'!'+1 {
			return tokenizer.Piece{Text: string(rune('!' + i)), Kind: tokenizer.Normal}
		}
		i -= '~' - '!' + 1
		if i < 26 {
			return tokenizer.Piece{Text: space + string(rune('a'+i)), Kind: tokenizer.Normal}
		}
		i -= 26
		text := letters(i / 2)
		if i%2 == 1 {
			text = space + text
		}
		return tokenizer.Piece{Text: text, Kind: tokenizer.Normal}
	}
}

// letters returns the i-th string of two or more lower-case letters, short ones first.
func letters(i int) string {
	size, length := 26*26, 2
	for i >= size {
		i -= size
		size, length = size*26, length+1
	}
	b := make([]byte, length)
	for j := length - 1; j >= 0; j-- {
		b[j] = byte('a' + i%26)
		i /= 26
	}
	return string(b)
}
