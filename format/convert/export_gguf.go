package convert

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/gguf"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/kernels/quant"
)

// GGUF writes f's model as a GGUF file whose matrices are, by matrices, format.F16, Q8 (Q8_0) or Q4 (Q4_0): integers
// stay what they are, and their scales are rounded to float16. lm_head's integers of 8 bits stay, too. A matrix whose
// rows are no whole blocks becomes float16. Integers of 8 bits do not fit Q4_0, and floats neither: those are errors.
func GGUF(ctx context.Context, f *qat.File, path string, matrices format.DType, progress func(done, total int64)) (Off, error) {
	var off Off
	if err := notFrom(path, []string{f.Path()}); err != nil {
		return off, err
	}
	h := f.Header()
	switch b := h.Quantization.Bits.W; {
	case matrices == format.Q4 && b != 4:
		return off, fmt.Errorf("%s: weights of %d bits, Q4_0 holds 4: give %s", f.Path(), b, map[int]string{8: "gguf-q8_0", 16: "gguf-f16"}[b])
	case matrices == format.Q8 && b == 16:
		return off, fmt.Errorf("%s: weights of 16 bits, Q8_0 holds 8: give gguf-f16, or quantize to 8 first", f.Path())
	}
	e := &export{ctx: ctx, src: f.Source(), progress: progress}
	m := &gguf.Model{Config: e.src.Config(), Tokenizer: e.src.Tokenizer(), ChatTemplate: e.src.ChatTemplate(),
		Name: strings.TrimSuffix(filepath.Base(f.Path()), ".qat"), Matrices: matrices}
	for _, s := range m.Config.Tensors() {
		m.Tensors = append(m.Tensors, e.ggufTensor(f, s, matrices, &off))
	}
	err := replace.File(path, func(w io.Writer) error { return gguf.Write(w, m) })
	return off, err
}

// ggufTensor is one tensor of the file.
func (e *export) ggufTensor(f *qat.File, s format.TensorSpec, matrices format.DType, off *Off) gguf.Tensor {
	t, _ := f.Tensor(s.Name)
	out := gguf.Tensor{TensorSpec: s, DType: format.F16}
	switch {
	case s.In == 0:
		out.DType = format.F32
	case !t.Quantized() || matrices == format.F16:
	case s.In%gguf.Block != 0:
		off.Floats = append(off.Floats, s.Name)
	case s.LMHead:
		out.DType = format.Q8
	default:
		out.DType = matrices
	}
	cols := s.In
	if s.In == 0 {
		cols = s.Out
	}
	q, x := make([]int8, cols), make([]float32, cols)
	out.Row = func(dst []byte, r int) error {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		e.step(cols)
		if out.DType != format.Q8 && out.DType != format.Q4 {
			if err := e.src.ReadRows(x, s.Name, r); err != nil {
				return err
			}
			if most := quant.AbsMax(x); out.DType == format.F16 && most > quant.MaxFloat16 {
				return fmt.Errorf("row %d: %v exceeds float16, which ends at %d: give --format hf with --float bf16", r, most, quant.MaxFloat16)
			}
			return encodeFloats(dst, x, string(out.DType))
		}
		var scale float32
		if err := mapped.Guard(f.Path(), func() error { scale = f.Integers(q, t, r); return nil }); err != nil {
			return err
		}
		half, by, err := gguf.Scale(scale)
		if err != nil {
			return fmt.Errorf("row %d: %w", r, err)
		}
		off.Scale = max(off.Scale, by)
		gguf.PutBlocks(dst, q, half, out.DType)
		return nil
	}
	return out
}
