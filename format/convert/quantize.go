package convert

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Quantize writes src to a .qat file at path, each weight row rounded to nearest with
// the scale that Options.Trained has for it, else that of the integers that it is made of
// already (format.Stepped), else a MinMax scale. Values that the formats cannot hold, NaN and
// infinities first, are errors that name tensor and place. Memory is bounded
// whatever the model's size. A file already at path stays until the new one is whole;
// it may not be one of those that src is read from.
func Quantize(ctx context.Context, src format.Source, path string, o Options) error {
	q, err := o.Quantization(ctx, src)
	if err != nil {
		return err
	}
	h := &qat.Header{Config: *src.Config(), Quantization: q, Tokenizer: o.Tokenizer, ChatTemplate: cmp.Or(o.Chat, src.ChatTemplate())}
	if h.Tokenizer == nil {
		h.Tokenizer = src.Tokenizer()
	}
	h.Provenance = qat.Provenance{Source: o.Source, CreatedBy: o.CreatedBy, SourceHash: o.Trained.SourceHash,
		Seed: o.Seed, Steps: o.Trained.Steps, Tokens: o.Trained.Tokens, Notes: o.Trained.Notes}
	var beside []job
	if files, ok := src.(format.FileSource); ok {
		if err := notFrom(path, files.Files()); err != nil {
			return err
		}
		beside = []job{hashing(files, &h.Provenance.SourceHash)}
	}
	return create(ctx, path, h, o.Progress, func(ctx context.Context, w *qat.Writer, t qat.Tensor, step func(int)) error {
		var scales []float32
		if t.Quantized() && o.Trained.Scales != nil {
			scales = o.Trained.Scales(t.Name)
		}
		if stepped, ok := src.(format.Stepped); ok && t.Quantized() && scales == nil {
			bits, steps, err := stepped.Steps(sourceName(src, t.Name))
			if err != nil {
				return err
			}
			if bits == map[string]int{"U8": 4, "I8": 8}[t.DType] {
				scales = steps
			}
		}
		if rows, _ := dims(t); scales != nil && len(scales) != rows {
			return fmt.Errorf("%d scales for %d rows", len(scales), rows)
		}
		return quantizeTensor(ctx, w, t, src, scales, step)
	}, beside...)
}

// Quantization returns the formats that Quantize gives src.
func (o *Options) Quantization(ctx context.Context, src format.Source) (qat.Quantization, error) {
	q, err := o.quantization(cmp.Or(o.Trained.Method, "rtn"))
	if err == nil && q.Float == "" {
		q.Float, err = ChooseFloat(ctx, src, q)
	}
	return q, err
}

// Check returns the error that Quantize has of path itself, for those who change what they read of src for long
// before they write it.
func Check(src format.FileSource, path string) error {
	if err := notFrom(path, src.Files()); err != nil {
		return err
	}
	return replace.Check(path)
}

// notFrom refuses to replace a file that is being read.
func notFrom(path string, files []string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // nothing is there
	}
	for _, f := range files {
		if other, err := os.Stat(f); err == nil && os.SameFile(info, other) {
			return fmt.Errorf("%s: the model is read from this file: write to another one", path)
		}
	}
	return nil
}

// hashing is the job that sets *hash, while the tensors are read anyway. A byte of it
// counts as an eighth of a parameter: it takes about as long.
func hashing(src format.FileSource, hash *string) job {
	const weight = 8
	*hash = fmt.Sprintf("sha256:%064d", 0) // of the length that it will have
	return job{src.Size() / weight, func(ctx context.Context, step func(int)) error {
		rest := 0 // of bytes not counted yet
		h, err := src.Hash(ctx, func(n int) {
			rest += n
			step(rest / weight)
			rest %= weight
		})
		*hash = h
		return err
	}}
}

// quantizeTensor streams one tensor, a block of rows at a time, with MinMax scales
// unless others are given.
func quantizeTensor(ctx context.Context, w *qat.Writer, t qat.Tensor, src format.Source, given []float32, step func(int)) error {
	rows, cols := dims(t)
	name := sourceName(src, t.Name)
	rowBytes := int(t.Size) / rows
	block := min(max(blockBytes/(4*cols), 1), rows)
	in := make([]float32, block*cols)
	out := make([]byte, block*rowBytes)
	scales := make([]byte, 4*block)
	enc := newEncoder(t)
	for first := 0; first < rows; first += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(block, rows-first)
		if err := src.ReadRows(in[:n*cols], name, first); err != nil {
			return err
		}
		for r := range n {
			if given != nil {
				enc.given = &given[first+r]
			}
			err := enc.row(out[r*rowBytes:][:rowBytes], scales[4*r:], in[r*cols:][:cols])
			if err != nil {
				return fmt.Errorf("row %d: %w", first+r, err)
			}
		}
		if err := w.Write(t.Name, out[:n*rowBytes]); err != nil {
			return err
		}
		if t.Quantized() {
			if err := w.Write(t.Name+qat.ScaleSuffix, scales[:4*n]); err != nil {
				return err
			}
		}
		step(n * cols)
	}
	return nil
}

// sourceName is the tensor of src that becomes the named one: a tied lm_head is the embedding.
func sourceName(src format.Source, name string) string {
	if name == format.LMHeadName && src.Config().TieWordEmbeddings {
		return format.EmbedName
	}
	return name
}

// ChooseFloat returns the float type for a model of which the user named none: the model's
// own where weights stay floats, else float16, or bfloat16 where that is needed.
func ChooseFloat(ctx context.Context, src format.Source, q qat.Quantization) (string, error) {
	if q.Bits.W == 16 {
		return ownFloat(src), nil
	}
	for _, s := range src.Config().Tensors() {
		stays := s.Embedding || s.LMHead && q.LMHeadBits == 16
		if d := src.DType(s.Name); !stays || d != format.F32 && d != format.BF16 {
			continue // integers, or cannot exceed float16
		}
		fits, err := fitsFloat16(ctx, src, s)
		if err != nil {
			return "", err
		}
		if !fits {
			return qat.BFloat16, nil
		}
	}
	return qat.Float16, nil
}

// ownFloat returns the type in which src stores its matrices, float32 where it has
// several, float16 where they are quantized.
func ownFloat(src format.Source) string {
	own := ""
	for _, s := range src.Config().Tensors() {
		f := map[format.DType]string{format.F32: qat.Float32, format.F16: qat.Float16, format.BF16: qat.BFloat16}[src.DType(s.Name)]
		switch {
		case s.In == 0 || f == "" || f == own:
		case own == "":
			own = f
		default:
			return qat.Float32
		}
	}
	if own == "" {
		return qat.Float16
	}
	return own
}

// fitsFloat16 reports whether no value of a tensor exceeds float16's range.
func fitsFloat16(ctx context.Context, src format.Source, s format.TensorSpec) (bool, error) {
	block := min(max(blockBytes/(4*s.In), 1), s.Out)
	x := make([]float32, block*s.In)
	for first := 0; first < s.Out; first += block {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		x := x[:min(block, s.Out-first)*s.In]
		if err := src.ReadRows(x, s.Name, first); err != nil {
			return false, err
		}
		if quant.AbsMax(x) > quant.MaxFloat16 {
			return false, nil
		}
	}
	return true, nil
}
