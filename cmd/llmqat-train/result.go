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
	// Apart is student.qat from the forward that was trained, on the windows of evaluations.
	Apart *train.Apart `json:"apart,omitempty"`
}

// result evaluates student.qat and the teacher rounded to nearest, prints what training
// brought, and writes result.json. best is what the run found of this student.
func (c *qatCmd) result(ctx context.Context, dev kernels.Device, src format.Source, config train.Config, held *train.Data, best *train.Served) (err error) {
	var windows [][]int32
	for i := range held.Len() {
		windows = append(windows, held.Window(i))
	}
	student, err := qat.Open(filepath.Join(c.Out, "student.qat"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, student.Close()) }()
	evaluated := windows
	if n := config.EvalWindows; n > 0 {
		evaluated = windows[:n]
	}
	if best != nil { // but in a run that an older llmqat began
		if err := c.same(ctx, dev, student, evaluated, best.Logits); err != nil {
			return err
		}
	}
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
		if err == nil {
			err = c.samples(ctx, dev, teacher, student, windows)
		}
		return err
	})
	if err != nil {
		return err
	}
	if best != nil && len(evaluated) == len(windows) {
		r.Logits = best.Logits // which same has found again
	} else if r.Logits, err = eval.Hash(ctx, dev, student, windows, eval.Options{}); err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		r    *eval.Result
	}{{"rounded to nearest", r.RTN}, {"student.qat", r.Student}} {
		fmt.Fprintf(os.Stderr, "%-18s  KL %.4f ±%.4f nats a token, perplexity %.4g (teacher %.4g), same likeliest token %.1f %%\n",
			x.name, x.r.KL.Value, x.r.KL.SE, x.r.Perplexity.Value, x.r.TeacherPerplexity.Value, 100*x.r.Top1.Value)
	}
	if student.Header().Provenance.Steps == 0 {
		fmt.Fprintln(os.Stderr, "warning: no evaluation did better than the one before the first step: student.qat is what training began with: lower --lr, or take more --steps")
	}
	if best != nil {
		r.Apart = best.Apart
		if err := tellApart(r.Apart, config.Compat); err != nil {
			return err
		}
	}
	return replace.File(filepath.Join(c.Out, "result.json"), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// tellApart says how far apart what is served and what was trained are, and fails where
// they are at all, but for compat, which was trained with other roundings.
func tellApart(a *train.Apart, compat bool) error {
	switch {
	case a.Exact():
		fmt.Fprintln(os.Stderr, "student.qat computes what was trained, to the bit")
	case compat:
		fmt.Fprintf(os.Stderr, "student.qat is %v: it is served by other formulas than it was trained by (docs/training.md)\n", a)
	default:
		return fmt.Errorf("student.qat is %v: want none, logits by logits (docs/training.md): what was trained is not what is served, unless an older llmqat began the run: write it anew with this one in another folder", a)
	}
	return nil
}

// same checks that student.qat, computed as a server computes it, is to the bit what the
// evaluation of its step recorded.
func (c *qatCmd) same(ctx context.Context, dev kernels.Device, student *qat.File, windows [][]int32, recorded string) error {
	step, end := progress.Bar(os.Stderr, "comparing student.qat")
	defer end()
	logits, err := eval.HashScheduled(ctx, dev, student, windows, eval.Options{Progress: step})
	if err == nil && logits != recorded {
		err = fmt.Errorf("%s: its logits on the windows of the evaluation have SHA-256 %s, the evaluation of its step %d recorded %s: the file is not what was evaluated: go on by --resume, which writes it again, and if that fails do not serve it",
			student.Path(), logits, student.Header().Provenance.Steps, recorded)
	}
	return err
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
