package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train"
)

// result is what became of a run, as served: by the operators that serve it, on the
// held-out windows.
type result struct {
	Windows int          `json:"windows"`
	RTN     *eval.Result `json:"rtn"`     // the teacher, rounded to the same setting
	Student *eval.Result `json:"student"` // student.qat
	Logits  string       `json:"logits"`  // SHA-256 of all logits of student.qat on these windows
}

// result evaluates student.qat and the teacher rounded to nearest, prints what training
// brought, and writes result.json.
func (c *qatCmd) result(ctx context.Context, dev kernels.Device, src format.Source, config train.Config, held *train.Data) (err error) {
	var windows [][]int32
	for i := range held.Len() {
		windows = append(windows, held.Window(i))
	}
	student, err := qat.Open(filepath.Join(c.Out, "student.qat"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, student.Close()) }()
	q := student.Header().Quantization
	floats := convert.Options{Bits: quant.Bits{W: 16, A: 16, KV: 16}, Float: qat.Float32}
	rounded := convert.Options{Bits: q.Bits, KVScheme: q.KVScheme, LMHeadBits: q.LMHeadBits, Float: q.Float}
	r := result{Windows: len(windows)}
	err = c.temporary(ctx, src, "teacher", floats, func(teacher *qat.File) error {
		err := c.temporary(ctx, src, "rtn", rounded, func(rtn *qat.File) (err error) {
			r.RTN, err = c.compare(ctx, dev, rtn, teacher, windows)
			return err
		})
		if err == nil {
			r.Student, err = c.compare(ctx, dev, student, teacher, windows)
		}
		return err
	})
	if err != nil {
		return err
	}
	if r.Logits, err = eval.Hash(ctx, dev, student, windows, eval.Options{}); err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		r    *eval.Result
	}{{"rounded to nearest", r.RTN}, {"student.qat", r.Student}} {
		fmt.Fprintf(os.Stderr, "%-18s  KL %.4f ±%.4f nats a token, perplexity %.4g (teacher %.4g), same likeliest token %.1f %%\n",
			x.name, x.r.KL.Value, x.r.KL.SE, x.r.Perplexity.Value, x.r.TeacherPerplexity.Value, 100*x.r.Top1.Value)
	}
	return replace.File(filepath.Join(c.Out, "result.json"), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// temporary calls use with src as a .qat file, which is gone afterwards.
func (c *qatCmd) temporary(ctx context.Context, src format.Source, name string, o convert.Options, use func(f *qat.File) error) (err error) {
	path := filepath.Join(c.Out, name+".tmp.qat")
	defer func() {
		if e := os.Remove(path); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err := convert.Quantize(ctx, src, path, o); err != nil {
		return err
	}
	f, err := qat.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return use(f)
}

func (c *qatCmd) compare(ctx context.Context, dev kernels.Device, f, teacher *qat.File, windows [][]int32) (*eval.Result, error) {
	step, end := progress.Bar(os.Stderr, "evaluating "+filepath.Base(f.Path()))
	defer end()
	return eval.Compare(ctx, dev, f, teacher, windows, eval.Options{Progress: step})
}
