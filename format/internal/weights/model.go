// Package weights makes a format.Source of tensors that lie in files: what the
// readers of all file formats have in common.
package weights

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"sync/atomic"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Tensor is one tensor of a model as its file stores it.
type Tensor struct {
	DType    format.DType
	Elements Elements // all of the shape's
	// Interleaved says that the rows of each head stand in the order of the original
	// LLaMA, where RoPE turns element 2i with 2i+1. Only of q_proj and k_proj.
	Interleaved bool
	// Steps are the scales of the rows of a matrix of integers, one a row; nil where there are none.
	Steps Elements
}

// Model is what a reader found in its files.
type Model struct {
	Path      string // for error texts
	Config    format.Config
	Tokenizer *tokenizer.Tokenizer // nil where there is none
	Chat      string               // Source.ChatTemplate
	Tensors   map[string]Tensor    // those of Config.Tensors()
	Files     []*mapped.File       // all that the model was read from, in Hash's order
}

// Source returns the model as a source, which closes its files.
func (m Model) Source() format.FileSource {
	s := &source{Model: m, shapes: make(map[string]format.TensorSpec)}
	for _, spec := range m.Config.Tensors() {
		if _, ok := m.Tensors[spec.Name]; !ok {
			panic(fmt.Sprintf("weights: Source: %s: no tensor %q", m.Path, spec.Name))
		}
		s.shapes[spec.Name] = spec
	}
	s.Tensors = maps.Clone(m.Tensors)
	return s
}

type source struct {
	Model
	shapes map[string]format.TensorSpec
	read   atomic.Int64 // elements and hashed bytes, roughly: when to release
}

// releaseEvery bounds what a process keeps of the files it streams through.
const releaseEvery = 256 << 20

// release counts n bytes read, and gives the files' pages back now and then. Mapped
// pages count as the process's memory while nothing else wants them: a conversion
// would seem to need as much as the model has.
func (s *source) release(n int) {
	if after := s.read.Add(int64(n)); after/releaseEvery != (after-int64(n))/releaseEvery {
		for _, f := range s.Model.Files {
			f.Release()
		}
	}
}

func (s *source) Config() *format.Config          { return &s.Model.Config }
func (s *source) Tokenizer() *tokenizer.Tokenizer { return s.Model.Tokenizer }
func (s *source) ChatTemplate() string            { return s.Model.Chat }

func (s *source) DType(name string) format.DType { return s.Tensors[name].DType }

func (s *source) ReadRows(dst []float32, name string, first int) error {
	spec, ok := s.shapes[name]
	if !ok {
		panic(fmt.Sprintf("weights: ReadRows: %s: no tensor %q", s.Path, name))
	}
	rows, cols := spec.Out, spec.In
	if spec.In == 0 {
		rows, cols = 1, spec.Out
	}
	n := len(dst) / cols
	if n*cols != len(dst) || first < 0 || first > rows-n {
		panic(fmt.Sprintf("weights: ReadRows: %d numbers from row %d of %q, which is [%d, %d]", len(dst), first, name, rows, cols))
	}
	t := s.Tensors[name]
	defer s.release(4 * len(dst))
	return mapped.Guard(s.Path, func() error {
		if !t.Interleaved {
			t.Elements.Read(dst, first*cols)
		} else {
			for i := range n {
				t.Elements.Read(dst[i*cols:][:cols], interleavedRow(first+i, s.Model.Config.HeadDim)*cols)
			}
		}
		for i, x := range dst {
			if !quant.IsFinite(x) {
				return fmt.Errorf("%s: tensor %q: row %d, column %d is %v: %w", s.Path, name, first+i/cols, i%cols, x, format.ErrCorrupt)
			}
		}
		return nil
	})
}

// Steps is format.Stepped's.
func (s *source) Steps(name string) (bits int, steps []float32, err error) {
	t := s.Tensors[name]
	if t.Steps == nil {
		return 0, nil, nil
	}
	bits = map[format.DType]int{format.Q4: 4, format.Q8: 8}[t.DType]
	steps = make([]float32, s.shapes[name].Out)
	err = mapped.Guard(s.Path, func() error { t.Steps.Read(steps, 0); return nil })
	return bits, steps, err
}

// interleavedRow returns where an interleaved file has row r of Hugging Face's order:
// there a head is first all even rows of the original, then all odd ones.
func interleavedRow(r, headDim int) int {
	head, i := r/headDim, r%headDim
	return head*headDim + i%(headDim/2)*2 + i/(headDim/2)
}

// Hash returns the sha256 of the lines "sha256 of a file, two spaces, its name", as
// sha256sum prints them, of all files that the model was read from.
func (s *source) Hash(ctx context.Context, step func(n int)) (string, error) {
	const block = 1 << 20 // bytes
	list := sha256.New()
	for _, f := range s.Model.Files {
		file := sha256.New()
		for left := f.Bytes(); len(left) > 0; {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			n := min(block, len(left))
			err := mapped.Guard(f.Path, func() error { _, err := file.Write(left[:n]); return err })
			if err != nil {
				return "", err
			}
			left = left[n:]
			s.release(n)
			if step != nil {
				step(n)
			}
		}
		fmt.Fprintf(list, "%x  %s\n", file.Sum(nil), filepath.Base(f.Path))
	}
	return fmt.Sprintf("sha256:%x", list.Sum(nil)), nil
}

// Files returns the paths of all files that the model was read from.
func (s *source) Files() []string {
	var paths []string
	for _, f := range s.Model.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

// Size returns the bytes of all files.
func (s *source) Size() int64 {
	var n int64
	for _, f := range s.Model.Files {
		n += int64(len(f.Bytes()))
	}
	return n
}

func (s *source) Close() error { return CloseAll(s.Model.Files) }

// CloseAll closes files and returns the first error.
func CloseAll(files []*mapped.File) error {
	var first error
	for _, f := range files {
		if err := f.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
