package tokenizer

import (
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by every error about a tokenizer that breaks its own format.
var ErrCorrupt = errors.New("corrupt tokenizer")

// ErrUnsupported is wrapped by every error about a tokenizer that is sound and of a kind not implemented here.
var ErrUnsupported = errors.New("unsupported tokenizer")

const (
	maxPieceLen = 64 << 10 // bytes
	maxVocab    = 4 << 20
)

// MaxText bounds the text of one Encode, in bytes: positions are 32 bits wide.
const MaxText = 1 << 30

// MaxFile bounds a tokenizer file, in bytes; known ones have up to half of it.
const MaxFile = 64 << 20

func checkSize(name string, data []byte) error {
	if len(data) > MaxFile {
		return fmt.Errorf("%s: %d bytes, at most %d: %w", name, len(data), MaxFile, ErrCorrupt)
	}
	return nil
}

// Kind says what a token is for. The numbers are those of SentencePiece and of GGUF's tokenizer.ggml.token_type.
type Kind uint8

const (
	Normal      Kind = iota + 1
	Unknown          // stands for characters outside the vocabulary
	Control          // <s>, </s>: not part of the text
	UserDefined      // always one token, wherever it stands in the text
	Unused           // takes part in merges and is split again at the end
	Byte             // <0x0A>: one byte
)

// Piece is one entry of a vocabulary. Score orders merges where no list of merges is given: the highest first.
type Piece struct {
	Text  string
	Score float32
	Kind  Kind
}

// checkPieces refuses what no vocabulary may hold; name is the file's, for the error.
func checkPieces(name string, pieces []Piece) error {
	if len(pieces) > maxVocab {
		return fmt.Errorf("%s: %d tokens, at most %d: %w", name, len(pieces), maxVocab, ErrCorrupt)
	}
	for id, p := range pieces {
		switch {
		case len(p.Text) > maxPieceLen:
			return fmt.Errorf("%s: token %d has %d bytes, at most %d: %w", name, id, len(p.Text), maxPieceLen, ErrCorrupt)
		case p.Score != p.Score:
			return fmt.Errorf("%s: token %d %.40q: score is NaN: %w", name, id, p.Text, ErrCorrupt)
		case p.Kind < Normal || p.Kind > Byte:
			return fmt.Errorf("%s: token %d %.40q: type is %d, want 1 to 6: %w", name, id, p.Text, p.Kind, ErrCorrupt)
		}
		if _, ok := byteOf(p.Text); p.Kind == Byte && !ok {
			return fmt.Errorf("%s: byte token %d is %.40q, want <0x00> to <0xFF>: %w", name, id, p.Text, ErrCorrupt)
		}
	}
	return nil
}

// byteOf reads the spelling of a byte token, "<0x0A>".
func byteOf(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	hi, ok1 := hexDigit(s[3])
	lo, ok2 := hexDigit(s[4])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// index maps spellings to ids. Of duplicates the first counts; an empty spelling names nothing.
func index(pieces []Piece) map[string]int32 {
	ids := make(map[string]int32, len(pieces))
	for i := len(pieces) - 1; i >= 0; i-- {
		if pieces[i].Text != "" {
			ids[pieces[i].Text] = int32(i)
		}
	}
	return ids
}

// firstOf returns the smallest id of a kind, or -1.
func firstOf(pieces []Piece, k Kind) int32 {
	for id, p := range pieces {
		if p.Kind == k {
			return int32(id)
		}
	}
	return -1
}
