package format

import (
	"fmt"

	"github.com/llmqat/llmqat/format/tokenizer"
)

// CheckTokenizer refuses a tokenizer that could give a model of vocab embeddings an
// id for which it has none. Real models come with padding tokens past the embedding:
// control tokens may lie there, for text never becomes one, but not BOS.
func CheckTokenizer(t *tokenizer.Tokenizer, vocab int) error {
	for id := int32(vocab); int(id) < t.VocabSize(); id++ {
		if !t.IsSpecial(id) || id == t.BOS() {
			return fmt.Errorf("tokenizer has token %d %.80q, the model %d embeddings: give the model's own tokenizer: %w",
				id, t.Token(id), vocab, ErrUnsupported)
		}
	}
	return nil
}
