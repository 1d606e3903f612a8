package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/llmqat/llmqat/internal/progress"
)

// ProfileReport is one run that looks into steps.
type ProfileReport struct {
	About
	Steps []Step `json:"steps"`
}

// Step is a decode of one token by each of some sequences, or the prefill of a prompt.
type Step struct {
	Model   string       `json:"model"`
	What    string       `json:"what"`        // as "decode at 64, batch 64"
	Seconds float64      `json:"seconds"`     // of the step, not looked into: on a GPU as a graph
	Sum     float64      `json:"sum_seconds"` // of its operators
	Rows    []ProfileRow `json:"operators"`
}

// ProfileRow is an operator of a step: all its calls of one shape. Seconds is of them
// together.
type ProfileRow struct {
	Operator
	Calls   int      `json:"calls"`
	Kernels []Kernel `json:"kernels,omitempty"` // that a GPU ran for it, in order
}

// Kernel is what an operator launched.
type Kernel struct {
	Name     string  `json:"name"`
	Launches int     `json:"launches"`
	Seconds  float64 `json:"seconds"` // together
}

// profileRow is a ProfileRow of one pass.
type profileRow struct {
	operator
	Calls   int
	kernels []Kernel
	seconds float64
}

// add counts a kernel, or with no name the call.
func (r *profileRow) add(kernel string, took time.Duration) {
	r.seconds += took.Seconds()
	if kernel == "" {
		return
	}
	for i := range r.kernels {
		if k := &r.kernels[i]; k.Name == kernel {
			k.Launches, k.Seconds = k.Launches+1, k.Seconds+took.Seconds()
			return
		}
	}
	r.kernels = append(r.kernels, Kernel{kernel, 1, took.Seconds()})
}

// RunProfile measures where the time of every point goes: each operator's, and on a GPU
// each kernel's.
func RunProfile(ctx context.Context, o Options) (*ProfileReport, error) {
	if err := o.fill([]int{64}, []int{1}); err != nil {
		return nil, err
	}
	if len(o.Threads) > 1 {
		return nil, fmt.Errorf("%d numbers of threads; a profile takes one", len(o.Threads))
	}
	rigs, files, title, end, err := o.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := o.fits(files, rigs[0]); err != nil {
		return nil, err
	}
	r := &ProfileReport{About: o.about(title+", profile", rigs)}
	p, runs := newProfiler(rigs[0].dev)
	rigs[0].runs = runs
	step, done := progress.Bar(o.Log, "profiling")
	defer done()
	for i, f := range files {
		steps, err := o.profile(ctx, rigs, f, p)
		if err != nil {
			return nil, err
		}
		r.Steps = append(r.Steps, steps...)
		step(int64(i+1), int64(len(files)))
	}
	r.Machine.Ceilings = append(r.Machine.Ceilings, rigs[0].median())
	return r, nil
}

// profile looks into every point of one file.
func (o *Options) profile(ctx context.Context, rigs []*rig, f file, p *profiler) (steps []Step, err error) {
	s, err := load(rigs, f, o)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.watch = func(seqs, n, length int) { p.reading = [3]int{seqs, n, length} }
	looks := make([]look, len(s.points))
	for range o.Repeats {
		c, err := rigs[0].peaks()
		if err != nil {
			return nil, err
		}
		if c.ReadBandwidth, err = rigs[0].bandwidth(); err != nil {
			return nil, err
		}
		for i, pt := range s.points {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			n, at, pass := 1, pt.tokens, 1
			if pt.prompt {
				n, at, pass = pt.tokens, 0, o.Pass
			}
			perSec, _, err := s.speed(0, n, at, pt.batch, pass)
			if err != nil {
				return nil, err
			}
			p.start()
			_, err = s.run(s.models[0], n, at, pt.batch, pass)
			l := &looks[i]
			l.passes, l.ceilings = append(l.passes, p.stop()), append(l.ceilings, c)
			if err != nil {
				return nil, err
			}
			l.seconds = append(l.seconds, float64(n*pt.batch)/perSec)
		}
	}
	for i, pt := range s.points {
		steps = append(steps, looks[i].step(s.result.label(), pt))
	}
	return steps, nil
}

// look is what was measured of a point: each time the step itself, its operators, and the
// ceilings beside them.
type look struct {
	seconds  []float64
	passes   [][]*profileRow
	ceilings []Ceilings
}

// step makes medians of a model's looks at a point.
func (l *look) step(model string, pt point) Step {
	s := Step{Model: model, What: pt.String(), Seconds: median(l.seconds)}
	for i, first := range l.passes[0] {
		row := ProfileRow{Operator: first.Operator, Calls: first.Calls}
		sec := section{operators: []*operator{{Operator: row.Operator, weightBits: first.weightBits}}, ceilings: l.ceilings}
		for _, pass := range l.passes {
			sec.operators[0].All = append(sec.operators[0].All, pass[i].seconds)
		}
		row.Operator = sec.finish().Operators[0]
		for j, k := range first.kernels {
			var all []float64
			for _, pass := range l.passes {
				all = append(all, pass[i].kernels[j].Seconds)
			}
			k.Seconds = median(all)
			row.Kernels = append(row.Kernels, k)
		}
		s.Sum += row.Seconds
		s.Rows = append(s.Rows, row)
	}
	return s
}
