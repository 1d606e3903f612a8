package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// Files of an evaluation, which are gone after it. Those that a killed one left are
// written over by the next one.
const (
	servedName  = ".served.qat"
	roundedName = ".rounded.qat"
)

// evaluate compares the student with its teacher on the held-out windows, by the forward
// that is trained and as it is served, and keeps the best.
func (r *run) evaluate(ctx context.Context) error {
	if r.teacher == nil { // which is not there for longer than it must
		if err := r.loadTeacher(); err != nil {
			return err
		}
		defer func() { r.teacher = nil }()
	}
	r.student.Prepare()
	line, err := r.measured(ctx)
	if err != nil {
		return fmt.Errorf("evaluation after step %d: %w", r.s.Step, err)
	}
	kl := line.KL
	if r.Serve != nil { // and what cannot be served is no best
		kl = math.NaN()
		if line.Served != nil {
			kl = line.Served.KL
		}
	}
	if err := r.tell(line); err != nil { // which has no infinities: line is another then
		return err
	}
	if finite(kl) && (!r.s.HasBest || kl < r.s.Best) { // the start, too, where methods made it good
		r.s.HasBest, r.s.Best, r.s.BestStep, r.s.Served = true, kl, r.s.Step, line.Served
		if err := r.checkpoint(bestName); err != nil {
			return err
		}
	}
	if last := r.s.Step == r.c.Steps; last || time.Since(r.drawn) > drawEvery {
		if err := r.draw(last); err != nil {
			return err
		}
		r.drawn = time.Now()
	}
	return nil
}

// measured is what an evaluation finds.
func (r *run) measured(ctx context.Context) (Line, error) {
	var own nn.Stats
	var served, rounded *Served
	var err error
	if r.Serve == nil {
		own, err = r.trained(ctx)
	} else {
		own, served, err = r.served(ctx, servedName, func(path string) error {
			return r.Export(ctx, path, r.student, Summary{Steps: int64(r.s.Step), Tokens: r.s.Tokens})
		})
		if err == nil && r.s.Step == 0 && r.Round != nil {
			_, rounded, err = r.served(ctx, roundedName, func(path string) error { return r.Round(ctx, path) })
			if err == nil {
				rounded.Apart = nil // from a student that is another model
			}
		}
	}
	switch {
	case r.s.Step > 0 && errors.Is(err, quant.ErrNotFinite): // so are the next steps, which roll back
		own.KL, served = math.NaN(), nil
	case err != nil:
		return Line{}, err
	}
	line := newLine(r.s.Step, r.s.Tokens, own)
	line.Held, line.Served, line.RTN = true, served, rounded
	if finite(line.KL) {
		e, err := r.student.Errors(r.pass(0))
		if err != nil {
			return Line{}, fmt.Errorf("errors of rounding: %w", err)
		}
		line.Errors = newErrors(e)
	}
	return line, nil
}

// pass returns the windows to evaluate on that go through the model with the i-th.
func (r *run) pass(i int) nn.Batch { return nn.Batch(r.held[i:min(i+r.c.Pass, len(r.held))]) }

// trained measures the student by the forward that is trained.
func (r *run) trained(ctx context.Context) (sum nn.Stats, err error) {
	for i := 0; i < len(r.held) && err == nil; i += r.c.Pass {
		var s nn.Stats
		b := r.pass(i)
		if s, err = r.student.Evaluate(r.teacher, b, r.c.loss(b)); err == nil {
			sum.Add(s)
			err = ctx.Err()
		}
	}
	return sum, err
}

// served measures the file that write writes, as it is served, beside the student.
func (r *run) served(ctx context.Context, name string, write func(path string) error) (own nn.Stats, served *Served, err error) {
	path := filepath.Join(r.Dir, name)
	defer func() {
		if e := os.Remove(path); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err := write(path); err != nil {
		return own, nil, err
	}
	s, err := r.Serve(path, r.held)
	if err != nil {
		return own, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var sum nn.ServedStats
	for i := 0; i < len(r.held); i += r.c.Pass {
		b := r.pass(i)
		x, err := r.student.EvaluateServed(r.teacher, b, r.c.loss(b), s.Next)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return own, nil, err
		}
		sum.Add(x)
	}
	return sum.Own, newServed(sum, s.Sum()), nil
}

// export writes the student that did best.
func (r *run) export(ctx context.Context) error {
	if r.Export == nil {
		return nil
	}
	if !r.s.HasBest {
		return fmt.Errorf("%w: no evaluation found a finite KL to the teacher: lower the learning rate", ErrDiverged)
	}
	best, err := r.ckpt.load(filepath.Join(r.Dir, bestName), r.c)
	if err != nil {
		return err
	}
	s := Summary{int64(best.Step), best.Tokens, best.Served}
	if err := r.Export(ctx, filepath.Join(r.Dir, studentName), r.student, s); err != nil || r.Finish == nil {
		return err
	}
	return r.Finish(ctx, s)
}
