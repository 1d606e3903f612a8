package format

import (
	"context"

	"github.com/llmqat/llmqat/format/tokenizer"
)

// DType is how a file stores the numbers of a tensor.
type DType string

// The element types that sources hold.
const (
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	Q8   DType = "Q8" // blocks of int8 with a scale, dequantized when read
	Q4   DType = "Q4" // blocks of 4 bits with a scale, dequantized when read
)

// MaxChatTemplate bounds Source.ChatTemplate, in bytes.
const MaxChatTemplate = 64 << 10

// Source is a float LLaMA being read, row by row, so that a model larger than
// memory can be converted. Its q_proj and k_proj rows are in Hugging Face's order
// (RoPE turns element i of a head with i + head_dim/2) whatever the file's own.
type Source interface {
	// Config returns the model's shape, checked.
	Config() *Config
	// Tokenizer returns the model's tokenizer, or nil where the files hold none.
	Tokenizer() *tokenizer.Tokenizer
	// ChatTemplate returns how conversations are written for the model, in Jinja, or "" where
	// the files do not say.
	ChatTemplate() string
	// DType returns how the file stores the named tensor.
	DType(name string) DType
	// ReadRows sets dst to rows [first, first+len(dst)/In) of the named tensor of
	// Config().Tensors(); a vector is one row. It may be called from several goroutines.
	ReadRows(dst []float32, name string, first int) error
	Close() error
}

// Stepped is a Source that knows of which integers its matrices were made, as a file of integers does. Quantized again to
// as many bits they are the same integers.
type Stepped interface {
	Source
	// Steps returns the bits of a matrix's integers and the scale of each row, 0 and nil where it has none.
	Steps(name string) (bits int, steps []float32, err error)
}

// FileSource is a Source that lies in files, as those do which the packages below open.
type FileSource interface {
	Source
	// Files lists the paths of all files that the model is read from.
	Files() []string
	// Size is the number of their bytes.
	Size() int64
	// Hash identifies the model by its files' bytes, as "sha256:..." of 64 digits, for
	// provenance. It reads them all and calls step, if not nil, with each number of
	// bytes that it has read.
	Hash(ctx context.Context, step func(n int)) (string, error)
}
