// Package train makes a student of a float LLaMA: a copy that lives with quantized
// weights, activations and KV cache and keeps its teacher's distribution
// (LLM-QAT, arXiv:2305.17888).
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/topk"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// Reducer makes one run of several workers: machines or GPUs. Each has the same Config and
// data and a Dir of its own, and holds the whole model; of each step's windows it takes
// its share. A run of one worker has none: nil.
type Reducer interface {
	// Worker is this one's number, from 0, and how many there are.
	Worker() (i, of int)
	// Sum replaces the gradients by their sums over all workers, in an order that is the
	// same each time.
	Sum(grads []kernels.Floats) error
	// SumStats does the same with what was measured.
	SumStats(*nn.Stats) error
}

// Options are what a run needs beside its Config. None of it changes its numbers.
type Options struct {
	Dir     string // of the run's files
	Teacher format.Source
	// Start, where it is not nil, makes what the student begins as instead of the teacher,
	// with steps of its weights as nn.Options has them.
	Start func() (src format.Source, steps func(tensor string) []float32, err error)
	Data  *Data // to train on
	// Logits, where it is not nil, are the teacher's likeliest tokens (StoreLogits) of the
	// windows of which Data are the first: then the teacher is there for evaluations alone.
	Logits  *topk.File
	Held    *Data // to evaluate on
	Resume  bool
	Reducer Reducer
	// Log is called after each step, and after each evaluation.
	Log func(Line)
	// Export writes the student's weights as they are to a .qat file at path.
	Export func(ctx context.Context, path string, student *nn.Model, s Summary) error
	// Serve opens such a file. Where it is not nil, evaluations run the student as it is
	// served, too, and what does best is that.
	Serve func(path string, windows [][]int32) (Server, error)
	// Finish, where it is not nil, is called once student.qat is there, with what the run
	// found of it.
	Finish func(ctx context.Context, s Summary) error
	// Round writes the teacher, rounded to nearest, to a .qat file: what the first
	// evaluation serves beside the student.
	Round func(ctx context.Context, path string) error

	noCurves bool // as most tests have it: pictures take longer than their runs
}

// Summary says how much a student was trained.
type Summary struct {
	Steps  int64
	Tokens int64
	Served *Served // of its evaluation, where it was served
}

// ErrDiverged means that the loss was no number again and again.
var ErrDiverged = errors.New("training diverged")

const (
	// badSteps steps in a row without a finite gradient roll a run back to its last
	// checkpoint, from which it goes on with other data; after rollbacks of those it ends.
	badSteps  = 5
	rollbacks = 3
)

// run is one under way.
type run struct {
	Options
	c       Config
	dev     kernels.TrainDevice
	teacher *nn.Model
	student *nn.Model
	opt     *optimizer
	ckpt    *checkpoint
	log     *logFile
	s       state
	windows [][]int32
	longest int       // tokens of a window
	stored  nn.TopK   // of a pass
	held    [][]int32 // to evaluate on
	grads   []kernels.Floats
	drawn   time.Time // when pictures were made last
}

// drawEvery keeps pictures from costing more than a small part of a run.
const drawEvery = 30 * time.Second

// Run trains, or goes on where a run in o.Dir was. When ctx ends, it saves its state
// and returns ctx's error; Resume then continues as if nothing had been. The student
// that did best on o.Held is student.qat in o.Dir.
func Run(ctx context.Context, dev kernels.TrainDevice, c Config, o Options) (err error) {
	defer func() { err = noSpace(err) }()
	r := &run{Options: o, c: c, dev: dev, drawn: time.Now()}
	if o.Data.Len() == 0 || o.Held.Len() == 0 {
		return fmt.Errorf("%d windows to train on and %d to evaluate on: want one at least of each", o.Data.Len(), o.Held.Len())
	}
	r.c.Data, r.c.Held = o.Data.Hash(), o.Held.Hash()
	if o.Logits != nil {
		r.c.Logits, r.c.TopK = o.Logits.Sum(), o.Logits.Header().K
	}
	for i := range o.Held.Len() {
		if r.c.EvalWindows == 0 || i < r.c.EvalWindows {
			r.held = append(r.held, o.Held.Window(i))
		}
	}
	if err := r.check(); err != nil {
		return err
	}
	unlock, err := lock(r.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.check(); err != nil { // again, for another process may have been here
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	defer r.log.close()
	for {
		if err := r.after(ctx); err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
			return err
		}
		if ctx.Err() != nil {
			if err := r.checkpoint(stoppedName); err != nil { // which is not for ctx's error to hide
				return fmt.Errorf("interrupted, and the state is not saved: %w", err)
			}
			return ctx.Err()
		}
		if r.s.Step == r.c.Steps {
			return r.export(ctx)
		}
		if err := r.step(); err != nil {
			return err
		}
	}
}

// after does what is due after a step, before the first too, and was not done yet.
func (r *run) after(ctx context.Context) error {
	if r.s.Settled {
		return nil
	}
	first, last := r.s.Step == 0, r.s.Step == r.c.Steps
	if first || last || r.c.EvalEvery > 0 && r.s.Step%r.c.EvalEvery == 0 {
		if err := r.evaluate(ctx); err != nil {
			return err
		}
	}
	r.s.Settled = true
	// The state amid bad steps is none to go back to.
	if last || !first && r.c.SaveEvery > 0 && r.s.Step%r.c.SaveEvery == 0 && r.s.BadInRow == 0 {
		return r.save()
	}
	return nil
}

// floats is the setting of a model that is not rounded.
func floats() qat.Quantization {
	return qat.Quantization{Bits: quant.Bits{W: 16, A: 16, KV: 16}, Float: qat.Float32, LMHeadBits: 16}
}

// open makes the models and finds the state to begin with.
func (r *run) open() error {
	r.longest = max(r.Data.Longest(), r.Held.Longest())
	var err error
	if r.Logits == nil {
		if err = r.loadTeacher(); err != nil {
			return err
		}
	}
	o := nn.Options{
		Quantization: r.c.Quantization, Train: true, LearnSteps: r.c.LearnSteps, Gate: r.c.Gate, Recompute: r.c.Recompute, Compat: r.c.Compat,
		MaxTokens: r.c.Pass * r.longest, MaxLength: r.longest, TopK: r.c.TopK,
	}
	start := r.Teacher
	if r.Start != nil {
		if start, o.Steps, err = r.Start(); err != nil {
			return err
		}
	}
	if r.student, err = nn.New(r.dev, start, o); err != nil {
		return fmt.Errorf("student: %w", err)
	}
	for _, p := range r.student.Params() {
		r.grads = append(r.grads, p.Grad)
	}
	if r.opt, err = newOptimizer(r.dev, r.student.Params()); err != nil {
		return err
	}
	r.ckpt = newCheckpoint(r.dev, r.opt)
	if r.Resume {
		err = r.resume()
	} else {
		err = saveConfig(filepath.Join(r.Dir, configName), r.c)
	}
	if err != nil {
		return err
	}
	r.log, err = openLog(filepath.Join(r.Dir, logName), r.s.Lines)
	return err
}

const (
	logName     = "log.jsonl"
	configName  = "config.json"
	bestName    = "best.safetensors"
	stoppedName = "stopped.safetensors" // where a run was interrupted, until the next checkpoint
	studentName = "student.qat"
	lockName    = ".lock"
	ckptPrefix  = "step-"
	ckptSuffix  = ".safetensors"
)

// check says, before anything takes time, whether the folder is one to begin or go on in.
func (r *run) check() error {
	had, err := LoadConfig(filepath.Join(r.Dir, configName))
	none := errors.Is(err, os.ErrNotExist)
	switch {
	case none && r.Resume:
		return fmt.Errorf("%s: no run is there to go on with, for lack of a %s: leave --resume out to begin one", r.Dir, configName)
	case none:
		return nil
	case err != nil:
		return err
	case !r.Resume:
		return fmt.Errorf("%s: a run is there: go on with it by --resume, or choose another folder", r.Dir)
	case had != r.c:
		return fmt.Errorf("%s: begun with other settings: %s: give the same, or choose another folder", r.Dir, differences(had, r.c))
	}
	return nil
}

// resume goes on where the run was interrupted, or else from the newest checkpoint.
func (r *run) resume() error {
	err := r.load(stoppedName)
	if errors.Is(err, os.ErrNotExist) {
		return r.reload()
	}
	return err
}

// reload goes back to the newest checkpoint. Without any all stays as it is. Where a run
// was interrupted does not count, so that it takes the way of one that was not.
func (r *run) reload() error {
	list, err := r.checkpoints()
	if err != nil || len(list) == 0 {
		return err
	}
	if err := r.load(list[len(list)-1]); err != nil {
		return err
	}
	return r.prune() // for a run that was killed before it could
}

func (r *run) load(name string) error {
	s, err := r.ckpt.load(filepath.Join(r.Dir, name), r.c)
	if errors.Is(err, ErrCheckpoint) {
		return fmt.Errorf("%w: remove it to go on from the one before", err)
	} else if err != nil {
		return err
	}
	r.s = s
	return nil
}

// checkpoints lists the names of the run's checkpoints by step.
func (r *run) checkpoints() ([]string, error) {
	files, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ckptPrefix) && strings.HasSuffix(f.Name(), ckptSuffix) {
			list = append(list, f.Name())
		}
	}
	slices.Sort(list) // steps have leading zeros
	return list, nil
}

// save writes the state, and removes those that it takes the place of.
func (r *run) save() error {
	if err := r.checkpoint(fmt.Sprintf("%s%012d%s", ckptPrefix, r.s.Step, ckptSuffix)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(r.Dir, stoppedName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return r.prune()
}

// prune removes all checkpoints but the last ones.
func (r *run) prune() error {
	list, err := r.checkpoints()
	for i := 0; err == nil && i < len(list)-r.c.Keep; i++ {
		err = os.Remove(filepath.Join(r.Dir, list[i]))
	}
	return err
}

// checkpoint writes the state, behind the log up to it.
func (r *run) checkpoint(name string) error {
	if err := r.log.sync(); err != nil {
		return err
	}
	r.s.Lines = r.log.lines
	return r.ckpt.save(filepath.Join(r.Dir, name), r.c, r.s)
}

// step does one step.
func (r *run) step() error {
	start := time.Now()
	r.windows = r.Data.batch(r.windows, r.s.Step, r.c.Batch, r.seed())
	batch := nn.Batch(r.windows)
	r.student.Prepare()
	r.student.ClearGrads()
	loss := r.c.loss(batch)
	var sum nn.Stats
	first, end := r.share(len(batch))
	for from := first; from < end; from += r.c.Pass {
		s, err := r.learn(batch, from, min(from+r.c.Pass, end), loss)
		switch {
		case errors.Is(err, quant.ErrNotFinite): // of activations, K or V
			s.KL = math.NaN()
		case err != nil:
			return fmt.Errorf("step %d: %w", r.s.Step+1, err)
		}
		sum.Add(s)
	}
	r.student.FinishGrads()
	if r.Reducer != nil {
		if err := errors.Join(r.Reducer.Sum(r.grads), r.Reducer.SumStats(&sum)); err != nil {
			return err
		}
	}
	norm, err := r.opt.gradNorm()
	if err != nil {
		return err
	}
	rate := r.c.rate(r.s.Step)
	line := newLine(r.s.Step+1, r.s.Tokens+int64(batch.Tokens()), sum)
	line.GradNorm, line.LearningRate = norm, rate
	if line.Skipped = !finite(norm) || !finite(sum.KL); line.Skipped {
		if r.s.BadInRow++; r.s.BadInRow == badSteps {
			line.time(start, batch.Tokens(), r.c.Steps-r.s.Step)
			return errors.Join(r.tell(line), r.rollBack())
		}
	} else {
		scale := 1.0
		if r.c.Clip > 0 && norm > r.c.Clip {
			scale = r.c.Clip / norm
		}
		if err := r.opt.step(&r.c, r.s.Updates+1, rate, scale); err != nil {
			return err
		}
		r.s.Updates, r.s.BadInRow = r.s.Updates+1, 0
	}
	r.s.Step, r.s.Tokens, r.s.Settled = r.s.Step+1, r.s.Tokens+int64(batch.Tokens()), false
	line.time(start, batch.Tokens(), r.c.Steps-r.s.Step)
	return r.tell(line)
}

// share is which of a batch's n windows this worker computes.
func (r *run) share(n int) (from, to int) {
	if r.Reducer == nil {
		return 0, n
	}
	i, of := r.Reducer.Worker()
	return i * n / of, (i + 1) * n / of
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// rollBack goes back to the last checkpoint, if there is one, and on from there with
// other data. The log keeps what came of the way that is left.
func (r *run) rollBack() error {
	at, n := r.s.Step+1, r.s.Rollbacks+1
	if n > rollbacks {
		return fmt.Errorf("%w: %d times %d steps in a row, the last %d, without a finite gradient: lower the learning rate", ErrDiverged, n, badSteps, at)
	}
	if err := r.reload(); err != nil {
		return err
	}
	r.s.BadInRow, r.s.Rollbacks = 0, n
	return nil
}

func (r *run) tell(l Line) error {
	if r.Log != nil {
		r.Log(l)
	}
	return r.log.write(l)
}
