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
	return f.Source(), nil
}

// Source returns the model in floats: integers times their scales, which is what they stand for. Where lm_head has
// integers of its own, its config says that it is not tied to the embedding. Closing it closes f.
func (f *File) Source() format.FileSource {
	s := source{f, f.Header().Config}
	if f.Header().Quantization.LMHeadBits == 8 {
		s.config.TieWordEmbeddings = false
	}
	return &s
}

// source is a File as floats.
type source struct {
	*File
	config format.Config
}

func (s *source) Config() *format.Config          { return &s.config }
func (s *source) Tokenizer() *tokenizer.Tokenizer { return s.Header().Tokenizer }
func (s *source) ChatTemplate() string            { return s.Header().ChatTemplate }
func (s *source) Files() []string                 { return []string{s.Path()} }
func (s *source) Size() int64                     { return int64(len(s.Bytes())) }

var elementTypes = map[string]format.DType{"F16": format.F16, "BF16": format.BF16, "F32": format.F32, "I8": format.Q8, "U8": format.Q4}

func (s *source) DType(name string) format.DType {
	t, _ := s.Tensor(name)
	return elementTypes[t.DType]
}

// Hash is File.SourceHash, which takes no reading.
func (s *source) Hash(ctx context.Context, step func(n int)) (string, error) {
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

func (s *source) ReadRows(dst []float32, name string, first int) error {
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
	return mapped.Guard(s.Path(), func() error {
		q := make([]int8, cols)
		for r := range len(dst) / cols {
			s.row(dst[r*cols:][:cols], t, first+r, rows, q)
		}
		return nil
	})
}

// row sets dst to row r of t, one of rows; q has room for its integers.
func (s *source) row(dst []float32, t Tensor, r, rows int, q []int8) {
	if t.Quantized() {
		scale := s.Integers(q, t, r)
		for i, q := range q {
			dst[i] = float32(q) * scale
		}
		return
	}
	size := int(t.Size) / rows
	row := s.Data(t)[r*size:][:size]
	for i := range dst {
		switch t.DType {
		case "F16":
			dst[i] = quant.Float16To32(binary.LittleEndian.Uint16(row[2*i:]))
		case "BF16":
			dst[i] = quant.BFloat16To32(binary.LittleEndian.Uint16(row[2*i:]))
		default:
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:]))
		}
	}
}

// Integers sets q to row r of a quantized tensor and returns its scale. The file may have been cut short since it was
// opened: call it where memory faults are handled.
func (f *File) Integers(q []int8, t Tensor, r int) (scale float32) {
	size := int(t.Size) / t.True[0]
	row := f.Data(t)[r*size:][:size]
	if t.DType == "U8" {
		quant.UnpackInt4(q, row)
	} else {
		for i := range q {
			q[i] = int8(row[i])
		}
	}
	scales, _ := f.Tensor(t.Name + ScaleSuffix)
	return math.Float32frombits(binary.LittleEndian.Uint32(f.Data(scales)[4*r:]))
}
