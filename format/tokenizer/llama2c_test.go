package tokenizer

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
)

// writeLlama2C is llama2.c's exporter.
func writeLlama2C(pieces []Piece) []byte {
	var longest int
	var body []byte
	for _, p := range pieces {
		text := strings.ReplaceAll(p.Text, spaceSymbol, " ")
		if p.Kind == Control {
			text = "\n" + text + "\n"
		}
		longest = max(longest, len(text))
		body = binary.LittleEndian.AppendUint32(body, math.Float32bits(p.Score))
		body = binary.LittleEndian.AppendUint32(body, uint32(len(text)))
		body = append(body, text...)
	}
	return append(binary.LittleEndian.AppendUint32(nil, uint32(longest)), body...)
}

func TestLlama2C(t *testing.T) {
	for _, withBytes := range []bool{true, false} {
		pieces := smallPieces(withBytes, "▁", "ab", "▁ab", "a", "b", "ab", "", "▁▁")
		tok := must(t)(ParseLlama2C(writeLlama2C(pieces), len(pieces)))
		sameTokenizer(t, must(t)(NewSentencePiece(pieces, llamaNormalizer, smallSpecial)), tok)
		sameTokenizer(t, tok, reparsed(t, tok))
	}
}

func TestLlama2CRefused(t *testing.T) {
	pieces := smallPieces(false, "▁", "a")
	good := writeLlama2C(pieces)
	length := func(n uint32) []byte { // of the first token
		b := append([]byte(nil), good...)
		binary.LittleEndian.PutUint32(b[8:], n)
		return b
	}
	for _, c := range []struct {
		name  string
		data  []byte
		vocab int
	}{
		{"empty", nil, 1},
		{"vocabulary of 0", good, 0},
		{"vocabulary of -1", good, -1},
		{"vocabulary of 2^31", good, 1 << 31},
		{"vocabulary too large", good, len(pieces) + 1},
		{"vocabulary too small", good, len(pieces) - 1},
		{"longest token of 4 bytes", append([]byte{4}, good[1:]...), len(pieces)},
		{"length 0", length(0), len(pieces)},
		{"length 2^31", length(1 << 31), len(pieces)},
		{"length 2^32-1", length(math.MaxUint32), len(pieces)},
		{"100 bytes, 4 million tokens", make([]byte, 100), maxVocab},
	} {
		if _, err := ParseLlama2C(c.data, c.vocab); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v, want ErrCorrupt", c.name, err)
		}
	}
	damaged(t, good, func(b []byte) (*Tokenizer, error) { return ParseLlama2C(b, len(pieces)) })
	// "<0x-1>" is a text like any other here, not a byte.
	tok := must(t)(ParseLlama2C(writeLlama2C([]Piece{{Text: "<0x-1>"}}), 1))
	if got := string(tok.Piece(0)); got != "<0x-1>" {
		t.Errorf("<0x-1> stands for %q", got)
	}
}
