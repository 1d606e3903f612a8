package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Model is what a file is written of.
type Model struct {
	Config       *format.Config
	Tokenizer    *tokenizer.Tokenizer // nil where there is none
	ChatTemplate string               // in Jinja; "" where there is none
	Name         string               // for people
	Matrices     format.DType         // what most matrices are
	Tensors      []Tensor             // those of Config.Tensors(), in the order of the file
}

// Tensor is one tensor of a file to be written.
type Tensor struct {
	format.TensorSpec
	DType format.DType // Q8 is Q8_0, Q4 is Q4_0
	// Row sets dst to row r of Hugging Face's order, as DType stores it. A vector is one row.
	Row func(dst []byte, r int) error
}

// dtypes are ggml's numbers of our types.
var dtypes = map[format.DType]dtype{format.F32: typeF32, format.F16: typeF16, format.BF16: typeBF16, format.Q8: typeQ8_0, format.Q4: typeQ4_0}

// fileTypes are llama.cpp's names, as numbers, of files by what most of their matrices are.
var fileTypes = map[format.DType]uint32{format.F32: 0, format.F16: 1, format.Q4: 2, format.Q8: 7, format.BF16: 32}

// alignment of the tensors in a file, bytes.
const alignment = 32

// rows returns t as a matrix.
func (t *Tensor) rows() (rows, cols int) {
	if t.In == 0 {
		return 1, t.Out
	}
	return t.Out, t.In
}

// info is t's entry in the header, without its place.
func (t *Tensor) info() info {
	i := info{tensor: tensor{name: ggmlName(t.Name), dims: []uint64{uint64(t.In), uint64(t.Out)}, dtype: dtypes[t.DType]}}
	if t.In == 0 {
		i.dims = i.dims[1:]
	}
	var err error
	if i.size, err = i.bytes(); err != nil {
		panic(fmt.Sprintf("gguf: Write: %v", err))
	}
	return i
}

// Write writes the file of m to w, a row at a time.
func Write(w io.Writer, m *Model) error {
	tensors := m.Tensors
	if t, ok := ropeTensor(m.Config); ok {
		tensors = append([]Tensor{t}, tensors...)
	}
	header, err := m.header(tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.write(w, m.Config.HeadDim); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// header returns all before the data.
func (m *Model) header(tensors []Tensor) ([]byte, error) {
	meta := m.metadata()
	if m.Tokenizer != nil {
		more, err := vocabularyMetadata(m.Tokenizer, m.Config.VocabSize)
		if err != nil {
			return nil, err
		}
		meta = append(meta, more...)
	}
	if m.ChatTemplate != "" {
		meta = append(meta, pair{"tokenizer.chat_template", m.ChatTemplate})
	}
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("GGUF"), 3)
	b = le.AppendUint64(le.AppendUint64(b, uint64(len(tensors))), uint64(len(meta)))
	for _, p := range meta {
		b = appendValue(appendString(b, p.key), p.value)
	}
	at := uint64(0)
	for _, t := range tensors {
		i := t.info()
		i.offset = at
		b = appendInfo(b, i)
		at += uint64(aligned(int(i.size)))
	}
	b = append(b, make([]byte, aligned(len(b))-len(b))...)
	if len(b) > maxHeader {
		return nil, fmt.Errorf("a GGUF header of %d bytes, at most %d: %w", len(b), maxHeader, format.ErrUnsupported)
	}
	return b, nil
}

func aligned(n int) int { return (n + alignment - 1) / alignment * alignment }

// write writes t's rows and what fills up to the next tensor.
func (t *Tensor) write(w io.Writer, headDim int) error {
	i := t.info()
	rows, _ := t.rows()
	row := make([]byte, int(i.size)/rows)
	interleaved := strings.HasSuffix(i.name, "attn_q.weight") || strings.HasSuffix(i.name, "attn_k.weight")
	for r := range rows {
		if interleaved {
			r = halvesRow(r, headDim)
		}
		if err := t.Row(row, r); err != nil {
			return err
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	_, err := w.Write(make([]byte, aligned(int(i.size))-int(i.size)))
	return err
}

// halvesRow returns which row of Hugging Face's order stands at row r of a GGUF file: there, RoPE turns neighbours, of a
// head elements 2i and 2i+1, which are i and i+headDim/2.
func halvesRow(r, headDim int) int {
	head, i := r/headDim, r%headDim
	return head*headDim + i%2*(headDim/2) + i/2
}

// ropeTensor returns the divisors of RoPE's frequencies, as llama.cpp takes Llama 3's scaling.
func ropeTensor(c *format.Config) (Tensor, bool) {
	s := c.RopeScaling
	if s == nil || s.Type != "llama3" {
		return Tensor{}, false
	}
	t := Tensor{TensorSpec: format.TensorSpec{Name: ropeFreqs, Out: c.HeadDim / 2}, DType: format.F32}
	t.Row = func(dst []byte, _ int) error {
		for i := range t.Out {
			d := divisor(s, math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim)))
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(d)))
		}
		return nil
	}
	return t, true
}
