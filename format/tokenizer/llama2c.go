package tokenizer

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// ParseLlama2C reads llama2.c's tokenizer.bin: u32 longest token, then for each token f32 score, u32 length,
// bytes, all little-endian. The file does not hold vocabSize; it is the model's.
func ParseLlama2C(data []byte, vocabSize int) (*Tokenizer, error) {
	const name = "tokenizer.bin"
	const header = 8 // bytes of a token beside its text
	if vocabSize <= 0 || vocabSize > maxVocab {
		return nil, fmt.Errorf("%s: vocabulary of %d tokens, want 1 to %d: %w", name, vocabSize, maxVocab, ErrCorrupt)
	}
	if len(data) < 4 || (len(data)-4)/header < vocabSize {
		return nil, fmt.Errorf("%s: %d bytes cannot hold %d tokens: %w", name, len(data), vocabSize, ErrCorrupt)
	}
	longest := binary.LittleEndian.Uint32(data)
	data = data[4:]
	pieces := make([]Piece, vocabSize)
	for id := range pieces {
		if len(data) < header {
			return nil, fmt.Errorf("%s: %d bytes left for token %d of %d: %w", name, len(data), id, vocabSize, ErrCorrupt)
		}
		score := math.Float32frombits(binary.LittleEndian.Uint32(data))
		n := binary.LittleEndian.Uint32(data[4:])
		data = data[header:]
		if n > longest || uint64(n) > uint64(len(data)) {
			return nil, fmt.Errorf("%s: token %d has %d bytes, longest is %d, left are %d: %w",
				name, id, n, longest, len(data), ErrCorrupt)
		}
		pieces[id] = llama2cPiece(string(data[:n]), score)
		data = data[n:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%s: %d bytes after the model's %d tokens: give the model's own tokenizer: %w",
			name, len(data), vocabSize, ErrCorrupt)
	}
	n := normalizer{Normalizer: Normalizer{DummyPrefix: true}, space: spaceSymbol}
	t, err := newSentencePiece(name, pieces, n, Special{BOS: -1, EOS: -1}, defaultUnkSurface)
	if err != nil {
		return nil, err
	}
	s := Special{BOS: -1, EOS: -1}
	if id, ok := t.ids["<s>"]; ok {
		s.BOS, s.AddBOS = id, true
	}
	if id, ok := t.ids["</s>"]; ok {
		s.EOS = id
	}
	return t.With(s), nil
}

// llama2cPiece undoes what llama2.c's exporter did to SentencePiece's spelling: a space for ▁, and lines
// of their own for <s> and </s>.
func llama2cPiece(text string, score float32) Piece {
	if t := strings.TrimSpace(text); t == "<s>" || t == "</s>" {
		text = t
	}
	kind := guessKind(text)
	if kind == Normal {
		text = strings.ReplaceAll(text, " ", spaceSymbol)
	}
	return Piece{Text: text, Score: score, Kind: kind}
}
