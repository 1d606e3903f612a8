package convert

import (
	"context"
	"io"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/qat"
)

// export is a model on its way into another format, one tensor after the other.
type export struct {
	ctx      context.Context
	src      format.Source
	progress func(done, total int64) // nil: nobody looks
	done     int64                   // parameters
}

// step counts n parameters.
func (e *export) step(n int) {
	if e.done += int64(n); e.progress != nil {
		e.progress(e.done, e.src.Config().Parameters())
	}
}

// blocks calls f with the rows of a tensor, some at a time; a vector is one row.
func (e *export) blocks(s format.TensorSpec, f func(x []float32) error) error {
	rows, cols := s.Out, s.In
	if s.In == 0 {
		rows, cols = 1, s.Out
	}
	block := min(max(blockBytes/(4*cols), 1), rows)
	x := make([]float32, block*cols)
	for first := 0; first < rows; first += block {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		x := x[:min(block, rows-first)*cols]
		if err := e.src.ReadRows(x, s.Name, first); err != nil {
			return err
		}
		if err := f(x); err != nil {
			return err
		}
		e.step(len(x))
	}
	return nil
}

// Off says how far an export is from the model that it was made of, and from what its format is for.
type Off struct {
	Scale  float64  // by what part of itself a scale is off at most
	Floats []string // tensors of integers that had to become float16
	Uneven []string // tensors whose rows of packed integers end within an int32
}

// floats is a tensor in a float type of a Hugging Face directory.
func (e *export) floats(s format.TensorSpec, dtype string) hf.Tensor {
	t := hf.Tensor{Name: s.Name, DType: dtype, Shape: []int{s.Out}}
	if s.In > 0 {
		t.Shape = append(t.Shape, s.In)
	}
	t.Write = func(w io.Writer) error {
		var b []byte
		return e.blocks(s, func(x []float32) error {
			b = append(b[:0], make([]byte, len(x)*floatSizes[dtype])...)
			if err := encodeFloats(b, x, dtype); err != nil {
				return err
			}
			_, err := w.Write(b)
			return err
		})
	}
	return t
}

var floatSizes = map[string]int{"F32": 4, "F16": 2, "BF16": 2}

// floatDTypes are safetensors' names of qat's float types.
var floatDTypes = map[string]string{qat.Float32: "F32", qat.Float16: "F16", qat.BFloat16: "BF16"}

// HF writes f's model to a new directory as Hugging Face's libraries load it, its matrices in a float type: integers
// times their scales. float32 is exact; float16 and bfloat16 round. Vectors are float32.
func HF(ctx context.Context, f *qat.File, dir, float string, progress func(done, total int64)) error {
	e := &export{ctx: ctx, src: f.Source(), progress: progress}
	return hf.Write(dir, e.model(float, func(s format.TensorSpec) []hf.Tensor {
		dtype := floatDTypes[float]
		if s.In == 0 {
			dtype = "F32"
		}
		return []hf.Tensor{e.floats(s, dtype)}
	}))
}

// model describes the directory: stored returns the tensors that a tensor of the model is stored as.
func (e *export) model(float string, stored func(s format.TensorSpec) []hf.Tensor) *hf.Model {
	m := &hf.Model{Config: e.src.Config(), Tokenizer: e.src.Tokenizer(), ChatTemplate: e.src.ChatTemplate(), Float: float}
	for _, s := range m.Config.Tensors() {
		m.Tensors = append(m.Tensors, stored(s)...)
	}
	return m
}
