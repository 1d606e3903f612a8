// Package convert makes .qat files, of the integers that rounding to nearest or another
// method gives a float model, or with random weights of a real model's shape; and it
// writes them in the formats of other programs. All stream, so that a model may be larger
// than memory.
package convert

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Options say what file to make. The zero value of each field but Bits chooses.
type Options struct {
	Bits       quant.Bits
	KVScheme   quant.KVScheme // "": quant.KVHeadZP
	LMHeadBits int            // 8 or 16; 0: 8, or 16 where Bits.W is 16
	// Float is the type of the embedding, of 16-bit weights and of a 16-bit lm_head:
	// qat.Float16, BFloat16 or Float32. "": where Bits.W is 16 the source's own, else
	// float16, or bfloat16 where float16 cannot hold the source's values.
	Float     string
	Tokenizer *tokenizer.Tokenizer // nil: the source's
	Chat      string               // template of conversations; "": the source's
	Source    string               // what is converted, in words, for provenance
	CreatedBy string               // program and version, for provenance
	Seed      uint64               // of Synth, of training
	Trained   Trained              // what is known of a source that was made for these bits
	// Progress, if not nil, is called from several goroutines with amounts of work.
	Progress func(done, total int64)
}

// Trained is what a method that made a model for its bits has to say of it.
type Trained struct {
	Method     string // "": rtn
	SourceHash string // of the model that it was made from
	Steps      int64
	Tokens     int64
	Notes      map[string]string
	// Scales returns the scales of a quantized tensor's rows, which then take all of
	// quant.WeightRange; where it is nil or returns nil, they are MinMax's.
	Scales func(tensor string) []float32
}

// ParseFloat reads the name of a float type as flags spell it: f32, f16 or bf16, or
// in full; "" stays "".
func ParseFloat(s string) (string, error) {
	switch s {
	case "f16", qat.Float16:
		return qat.Float16, nil
	case "bf16", qat.BFloat16:
		return qat.BFloat16, nil
	case "f32", qat.Float32:
		return qat.Float32, nil
	case "":
		return "", nil
	}
	return "", fmt.Errorf("float type %q: want f32, f16 or bf16", s)
}

// quantization returns what o asks for, Float excepted.
func (o *Options) quantization(method string) (qat.Quantization, error) {
	q := qat.Quantization{
		Bits: o.Bits, KVScheme: cmp.Or(o.KVScheme, quant.KVHeadZP),
		Float: cmp.Or(o.Float, qat.Float16), LMHeadBits: o.LMHeadBits, Method: method,
	}
	if q.LMHeadBits == 0 {
		q.LMHeadBits = 8
		if q.Bits.W == 16 {
			q.LMHeadBits = 16
		}
	}
	err := q.Check()
	q.Float = o.Float
	return q, err
}

// blockBytes is about what a worker holds of a tensor at a time.
const blockBytes = 1 << 20

// job is a part of making a file. run calls step as it gets on, for size in all.
type job struct {
	size int64
	run  func(ctx context.Context, step func(n int)) error
}

// create writes the file of h at path: fill is called once for every weight, from
// several goroutines, and writes it and its scales to w; step counts parameters.
// Other jobs run beside.
func create(ctx context.Context, path string, h *qat.Header, progress func(done, total int64),
	fill func(ctx context.Context, w *qat.Writer, t qat.Tensor, step func(n int)) error, jobs ...job) error {
	w, err := qat.Create(path, h)
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, t := range w.Tensors() {
		if t.Kind() != qat.Weight {
			continue
		}
		jobs = append(jobs, job{int64(params(t)), func(ctx context.Context, step func(int)) error {
			if err := fill(ctx, w, t, step); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			return nil
		}})
	}
	var total int64
	for _, j := range jobs {
		total += j.size
	}
	// The largest first, so that none is left alone at the end.
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(b.size, a.size) })
	var done atomic.Int64
	step := func(n int) {
		if n := done.Add(int64(n)); progress != nil {
			progress(n, total)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, j := range jobs {
		g.Go(func() error { return j.run(gctx, step) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return w.Commit()
}

// params is the number of a tensor's numbers, padding excluded.
func params(t qat.Tensor) int {
	rows, cols := dims(t)
	return rows * cols
}

// dims returns a tensor as a matrix: a vector is one row.
func dims(t qat.Tensor) (rows, cols int) {
	if len(t.True) == 1 {
		return 1, t.True[0]
	}
	return t.True[0], t.True[1]
}
