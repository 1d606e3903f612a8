package format

import (
	"errors"
	"testing"

	"github.com/llmqat/llmqat/format/tokenizer"
)

func TestCheckTokenizer(t *testing.T) {
	pieces := []tokenizer.Piece{{Text: "<unk>"}, {Text: "<s>"}, {Text: "</s>"}, {Text: "a"}, {Text: "<pad>", Kind: tokenizer.Control}}
	for _, c := range []struct {
		vocab int
		bos   int32
		ok    bool
	}{
		{6, 1, true}, {5, 1, true},
		{4, 1, true},  // a control token past the embedding
		{4, 4, false}, // which begins every text
		{3, 1, false}, // a token that text becomes
	} {
		tok, err := tokenizer.NewSentencePiece(pieces, tokenizer.Normalizer{}, tokenizer.Special{BOS: c.bos, EOS: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckTokenizer(tok, c.vocab); err == nil != c.ok || err != nil && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%d embeddings, BOS %d: %v", c.vocab, c.bos, err)
		}
	}
}
