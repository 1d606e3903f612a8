package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/qat"
)

// Compressed writes f's model to a new directory as the library compressed-tensors stores it, so that vLLM and
// transformers load its integers: those of the layers, with their scales as float32. The embedding and lm_head are
// floats of a type.
//
// Weights of 8 bits with activations of 8 are int8 (int-quantized), and the engine quantizes activations per token. All
// others are packed into int32 (pack-quantized), and activations stay floats: engines have no kernel for the rest.
// Rows that end within an int32 are padded, as the library pads them; vLLM has room for whole ones only.
func Compressed(ctx context.Context, f *qat.File, dir, float string, progress func(done, total int64)) (Off, error) {
	var off Off
	b := f.Header().Quantization.Bits
	if b.W == 16 {
		return off, fmt.Errorf("%s: weights of %d bits, compressed-tensors is for 4 and 8: give --format hf", f.Path(), b.W)
	}
	e := &export{ctx: ctx, src: f.Source(), progress: progress}
	m := e.model(float, func(s format.TensorSpec) []hf.Tensor {
		t, _ := f.Tensor(s.Name)
		switch {
		case s.In == 0:
			return []hf.Tensor{e.floats(s, "F32")}
		case !s.Linear:
			return []hf.Tensor{e.floats(s, floatDTypes[float])}
		}
		name := strings.TrimSuffix(s.Name, "weight")
		scale := hf.Tensor{Name: name + "weight_scale", DType: "F32", Shape: []int{s.Out, 1}, Write: e.scales(f, t)}
		if b.W == 8 && b.A == 8 {
			return []hf.Tensor{{Name: s.Name, DType: "I8", Shape: t.True, Write: e.integers(f, t, s.In, func(dst []byte, q []int8) {
				for i, q := range q {
					dst[i] = byte(q)
				}
			})}, scale}
		}
		words := (s.In*b.W + 31) / 32
		if s.In*b.W%32 != 0 {
			off.Uneven = append(off.Uneven, s.Name)
		}
		return []hf.Tensor{
			{Name: name + "weight_packed", DType: "I32", Shape: []int{s.Out, words}, Write: e.integers(f, t, 4*words, func(dst []byte, q []int8) {
				packInts(dst, q, b.W)
			})},
			scale,
			{Name: name + "weight_shape", DType: "I64", Shape: []int{2}, Write: func(w io.Writer) error {
				_, err := w.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(s.Out)), uint64(s.In)))
				return err
			}},
		}
	})
	m.Quantization = hf.CompressedConfig(b.W, b.A)
	return off, hf.Write(dir, m)
}

// packInts packs integers of 4 or 8 bits, each plus half of their range, from the lowest bits of a byte on; what
// is left of dst is 0.
func packInts(dst []byte, q []int8, bits int) {
	clear(dst)
	per := 8 / bits
	for i, q := range q {
		dst[i/per] |= byte(int(q)+1<<(bits-1)) << (i % per * bits)
	}
}

// integers writes the rows of a quantized tensor, each as pack sets rowBytes bytes to its integers.
func (e *export) integers(f *qat.File, t qat.Tensor, rowBytes int, pack func(dst []byte, q []int8)) func(w io.Writer) error {
	return func(w io.Writer) error {
		rows, cols := dims(t)
		dst, q := make([]byte, rowBytes), make([]int8, cols)
		for r := range rows {
			if err := e.ctx.Err(); err != nil {
				return err
			}
			err := mapped.Guard(f.Path(), func() error { f.Integers(q, t, r); return nil })
			if err != nil {
				return err
			}
			pack(dst, q)
			if _, err := w.Write(dst); err != nil {
				return err
			}
			e.step(cols)
		}
		return nil
	}
}

// scales writes the scales of a quantized tensor.
func (e *export) scales(f *qat.File, t qat.Tensor) func(w io.Writer) error {
	return func(w io.Writer) error {
		s, _ := f.Tensor(t.Name + qat.ScaleSuffix)
		return mapped.Guard(f.Path(), func() error { _, err := w.Write(f.Data(s)); return err })
	}
}
