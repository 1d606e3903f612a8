package task

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/llmqat/llmqat/format/qat"
)

// FileID tells models apart by what they compute: shape, number formats, tensors, tokenizer. Where a
// file lies and when it was made does not matter.
func FileID(f *qat.File) string {
	h := f.Header()
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode([]any{h.Config, h.Quantization}) // plain values into a hash: cannot fail
	for _, t := range f.Tensors() {
		fmt.Fprintf(sum, "%s %s\n", t.SHA256, t.Name)
	}
	if h.Tokenizer != nil {
		fmt.Fprintf(sum, "%+v\n", h.Tokenizer.Special())
		_, data := h.Tokenizer.File()
		sum.Write(data)
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}
