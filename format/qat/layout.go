package qat

import (
	"cmp"
	"slices"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels/quant"
)

// dataAlign is the boundary on which data begin, and the size in whose multiples
// the first tensors come.
const dataAlign = 64

// Tensor is one tensor of a file.
type Tensor struct {
	Name   string
	DType  string // U8, I8, F16, BF16 or F32
	Shape  []int  // as stored: rows padded to quant.RowAlign inputs, int4 two inputs a byte
	True   []int  // [out, in] or [n], as the model has it
	Offset int64  // in the file, bytes
	Size   int64  // bytes
	SHA256 string // of the bytes, 64 hexadecimal digits; empty while being written
}

// Kind is what a tensor's bytes are.
type Kind int

const (
	Weight    Kind = iota // numbers of the model
	Scale                 // of a quantized weight, one a row
	Tokenizer             // the bytes of its file
)

// Kind tells from the name what t is.
func (t Tensor) Kind() Kind {
	switch {
	case slices.Contains(tokenizerNames, t.Name):
		return Tokenizer
	case strings.HasSuffix(t.Name, ScaleSuffix):
		return Scale
	}
	return Weight
}

// Quantized reports whether t is a weight of integers, with a tensor of scales
// under its name and ScaleSuffix.
func (t Tensor) Quantized() bool { return t.Kind() == Weight && (t.DType == "U8" || t.DType == "I8") }

// elemSize is the size of one element of a stored type, bytes.
var elemSize = map[string]int64{"U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4}

// layout returns the tensors of a model in the order of the file, with offsets
// from the start of the data, and the size of the data. The rule leaves no choice:
// a reader compares a file with it.
func (h *Header) layout(tokenizerName string, tokenizerSize int64) ([]Tensor, int64) {
	list := h.weights()
	if tokenizerName != "" {
		n := []int{int(tokenizerSize)}
		list = append(list, Tensor{Name: tokenizerName, DType: "U8", Shape: n, True: n, Size: tokenizerSize})
	}
	// The largest power of two that divides the size, at most 64: large ones first,
	// so that every tensor begins at a multiple of its own.
	slices.SortStableFunc(list, func(a, b Tensor) int { return cmp.Compare(evenness(b.Size), evenness(a.Size)) })
	var at int64
	for i := range list {
		list[i].Offset = at
		at += list[i].Size
	}
	return list, at
}

// KVTokenBytes is what the KV cache keeps of a token, of all layers.
func (h *Header) KVTokenBytes() int {
	c := &h.Config
	return c.NumHiddenLayers * h.Quantization.KV().TokenBytes(c.NumKeyValueHeads, c.HeadDim)
}

// DataBytes is how many bytes the tensors of such a file have, its tokenizer aside.
func (h *Header) DataBytes() int64 {
	_, n := h.layout("", 0)
	return n
}

func evenness(size int64) int64 { return min(size&-size, dataAlign) }

// weights lists the model's tensors: those of its config in their order, each
// weight's scales behind it.
func (h *Header) weights() []Tensor {
	q := h.Quantization
	specs := h.Config.Tensors()
	if h.Config.TieWordEmbeddings && q.LMHeadBits == 8 {
		specs = append(specs, format.TensorSpec{
			Name: format.LMHeadName, Out: h.Config.VocabSize, In: h.Config.HiddenSize, LMHead: true,
		})
	}
	var list []Tensor
	for _, s := range specs {
		bits := 16
		switch {
		case s.Linear:
			bits = q.Bits.W
		case s.LMHead:
			bits = q.LMHeadBits
		}
		t := Tensor{Name: s.Name, True: []int{s.Out, s.In}}
		switch {
		case s.In == 0:
			t.DType, t.Shape, t.True = "F32", []int{s.Out}, []int{s.Out}
		case bits == 4:
			t.DType, t.Shape = "U8", []int{s.Out, quant.Int4Bytes(s.In)}
		case bits == 8:
			t.DType, t.Shape = "I8", []int{s.Out, quant.Align(s.In)}
		default:
			t.DType, t.Shape = floatDTypes[q.Float], []int{s.Out, quant.Align(s.In)}
		}
		list = append(list, t.sized())
		if bits < 16 {
			n := []int{s.Out}
			list = append(list, Tensor{Name: s.Name + ScaleSuffix, DType: "F32", Shape: n, True: n}.sized())
		}
	}
	return list
}

// count is len(weights()), without the memory: a header may claim any number of layers.
func (h *Header) count() int {
	c, q := h.Config, h.Quantization
	n := 2 + 9*c.NumHiddenLayers
	if q.Bits.W < 16 {
		n += 7 * c.NumHiddenLayers
	}
	if !c.TieWordEmbeddings || q.LMHeadBits == 8 {
		n++
	}
	if q.LMHeadBits == 8 {
		n++
	}
	return n
}

// sized sets the size from the shape; format.Config's bounds keep it far below 2^63.
func (t Tensor) sized() Tensor {
	t.Size = elemSize[t.DType]
	for _, n := range t.Shape {
		t.Size *= int64(n)
	}
	return t
}
