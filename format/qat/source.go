package qat

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// OpenFloat opens a file whose weights are floats, lm_head's too, as a model to be
// converted or taught from.
func OpenFloat(path string) (format.FileSource, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	if q := f.Header().Quantization; q.Bits.W != 16 || q.LMHeadBits != 16 {
		f.Close()
		return nil, fmt.Errorf("%s: a quantized checkpoint, %v with an lm_head of %d bits, want the float model that it was made of: %w",
			path, q.Bits, q.LMHeadBits, format.ErrUnsupported)
	}
	return floatSource{f}, nil
}

// floatSource is a File of float weights.
type floatSource struct{ *File }

func (s floatSource) Config() *format.Config          { return &s.Header().Config }
func (s floatSource) Tokenizer() *tokenizer.Tokenizer { return s.Header().Tokenizer }
func (s floatSource) ChatTemplate() string            { return s.Header().ChatTemplate }
func (s floatSource) Files() []string                 { return []string{s.Path()} }
func (s floatSource) Size() int64                     { return int64(len(s.Bytes())) }

var floatTypes = map[string]format.DType{"F16": format.F16, "BF16": format.BF16, "F32": format.F32}

func (s floatSource) DType(name string) format.DType {
	t, _ := s.Tensor(name)
	return floatTypes[t.DType]
}

// Hash is File.SourceHash, which takes no reading.
func (s floatSource) Hash(ctx context.Context, step func(n int)) (string, error) {
	if step != nil {
		step(len(s.Bytes()))
	}
	return s.SourceHash(), ctx.Err()
}

// SourceHash identifies the model that the file was made of: by its provenance or,
// where that says nothing, as of random weights, by the sums of the tensors.
func (f *File) SourceHash() string {
	if h := f.Header().Provenance.SourceHash; h != "" {
		return h
	}
	sum := sha256.New()
	for _, t := range f.Tensors() {
		fmt.Fprintf(sum, "%s  %s\n", t.SHA256, t.Name)
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}

func (s floatSource) ReadRows(dst []float32, name string, first int) error {
	t, ok := s.Tensor(name)
	if !ok {
		return fmt.Errorf("%s: no tensor %q", s.Path(), name)
	}
	rows, cols := 1, t.True[0]
	if len(t.True) == 2 {
		rows, cols = t.True[0], t.True[1]
	}
	if len(dst)%cols != 0 || first < 0 || first+len(dst)/cols > rows {
		return fmt.Errorf("%s: tensor %q: %d numbers from row %d on, of [%d, %d]", s.Path(), name, len(dst), first, rows, cols)
	}
	rowBytes := int(t.Size) / rows
	return mapped.Guard(s.Path(), func() error {
		for r := range len(dst) / cols {
			row, out := s.Data(t)[(first+r)*rowBytes:], dst[r*cols:][:cols]
			for i := range out {
				switch t.DType {
				case "F16":
					out[i] = quant.Float16To32(binary.LittleEndian.Uint16(row[2*i:]))
				case "BF16":
					out[i] = quant.BFloat16To32(binary.LittleEndian.Uint16(row[2*i:]))
				default:
					out[i] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:]))
				}
			}
		}
		return nil
	})
}
