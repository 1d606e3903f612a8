package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train"
)

// TrainReport is one run of training steps.
type TrainReport struct {
	About
	Models []Trained `json:"models"`
}

// Trained is what students of one setting reached.
type Trained struct {
	Name     string      `json:"name"`
	KVScheme string      `json:"kv_scheme,omitempty"`
	Rates    []TrainRate `json:"rates"`
}

// TrainRate is the speed of steps of some windows of some tokens.
type TrainRate struct {
	Windows int       `json:"windows"`
	Length  int       `json:"length"`
	Threads int       `json:"threads"`
	PerSec  float64   `json:"tokens_per_second"`
	All     []float64 `json:"samples"`
	Seconds float64   `json:"seconds"` // of a step
	MACs    float64   `json:"macs"`    // of a step: both models' forward, twice the student's backward
	MACRate float64   `json:"macs_per_second"`
	Share   float64   `json:"share"` // of the float32 peak measured before each step
}

// trained is a training run that is sampled step by step.
type trained struct {
	rate   TrainRate
	rig    *rig
	next   func() (train.Line, error, bool)
	shares []float64
}

// RunTrain measures steps of training runs, those of all settings in turn.
func RunTrain(ctx context.Context, o Options) (*TrainReport, error) {
	if len(o.Contexts) == 0 {
		o.Contexts = []int{256}
	}
	if err := o.fill(nil, []int{8}); err != nil {
		return nil, err
	}
	src, title, err := o.teacher()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	columns, err := o.columns()
	if err != nil {
		return nil, err
	}
	rigs, end, err := o.newRigs()
	if err != nil {
		return nil, err
	}
	defer end()
	if o.Cache != "" {
		if err := os.MkdirAll(o.Cache, 0o777); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(o.Cache, "train-") // of the runs' checkpoints
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var runs [][]*trained // of each column
	need := int64(0)
	for i, opt := range columns {
		var list []*trained
		for j, p := range o.points() {
			if p.prompt {
				continue
			}
			c, data, plan, err := trainConfig(src.Config(), quantizationOf(opt), p, o.Repeats)
			if err != nil {
				return nil, err
			}
			need += plan.Bytes()
			t, stop, err := startTraining(ctx, rigs[p.rig], src, c, data, filepath.Join(dir, fmt.Sprintf("%d-%d", i, j)))
			if err != nil {
				return nil, err
			}
			defer stop()
			t.rate.MACs = plan.MACs
			list = append(list, t)
		}
		runs = append(runs, list)
	}
	if free, err := rigs[0].available(); err == nil && free > 0 && need > free {
		return nil, fmt.Errorf("training takes %s, and %s are free: lower --batch or --context, or --compare fewer settings at a time", size(need), size(free))
	}
	if err := o.sampleTraining(runs); err != nil {
		return nil, err
	}
	r := &TrainReport{About: o.about(title+", training steps", rigs)}
	for i, opt := range columns {
		m := Trained{Name: opt.Bits.String()}
		if opt.Bits.KV < 16 {
			m.KVScheme = string(opt.KVScheme)
		}
		for _, t := range runs[i] {
			m.Rates = append(m.Rates, t.finish())
		}
		r.Models = append(r.Models, m)
	}
	for _, g := range rigs {
		if _, err := g.bandwidth(); err != nil {
			return nil, err
		}
		r.Machine.Ceilings = append(r.Machine.Ceilings, g.median())
	}
	return r, nil
}

// teacher opens the model that is trained for, or makes one of random weights.
func (o *Options) teacher() (format.Source, string, error) {
	if o.Shape != "" {
		c, err := convert.Shape(o.Shape)
		return random{c}, o.Shape, err
	}
	if len(o.Models) > 1 {
		return nil, "", fmt.Errorf("%d models; want one, the teacher of each setting's student", len(o.Models))
	}
	src, err := source.Open(o.Models[0], o.Tokenizer)
	return src, filepath.Base(o.Models[0]), err
}

// trainSkip steps are not counted: they touch memory for the first time.
const trainSkip = 1

// trainConfig is a run of p's windows, with its data: speed depends on no token.
func trainConfig(m *format.Config, q qat.Quantization, p point, steps int) (c train.Config, d *train.Data, plan train.Plan, err error) {
	c = train.Config{
		Quantization: q, Length: min(p.tokens, m.MaxPositionEmbeddings), Batch: p.batch, Steps: trainSkip + steps,
		LearningRate: 1e-5, Clip: 1, Soft: 1, LearnSteps: q.Bits.W < 16,
	}
	if c, err = c.Resolve(m); err != nil {
		return c, nil, plan, err
	}
	d = &train.Data{}
	ids := make([]int32, c.Length)
	for i := range c.Batch {
		for j := range ids {
			ids[j] = int32((i*31 + j*j) % m.VocabSize)
		}
		d.Add(ids, c.Length)
	}
	plan, err = train.PlanOf(c, m, d.Tokens(), d.Longest())
	return c, d, plan, err
}

// startTraining returns a run that does a step whenever it is asked for the next.
func startTraining(ctx context.Context, g *rig, src format.Source, c train.Config, d *train.Data, dir string) (*trained, func(), error) {
	dev, ok := g.dev.(kernels.TrainDevice)
	if !ok {
		return nil, nil, fmt.Errorf("%s has no operators of training: take --device cpu", g.dev.Name())
	}
	held, _, err := d.Split(1)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	next, stop := iter.Pull2(func(yield func(train.Line, error) bool) {
		err := train.Run(ctx, dev, c, train.Options{Dir: dir, Teacher: src, Data: d, Held: held, Log: func(l train.Line) {
			if !l.Held && ctx.Err() == nil && !yield(l, nil) {
				cancel()
			}
		}})
		if err != nil && !errors.Is(err, context.Canceled) {
			yield(train.Line{}, err)
		}
	})
	t := &trained{rig: g, next: next, rate: TrainRate{Windows: c.Batch, Length: c.Length, Threads: g.threads}}
	return t, func() { stop(); cancel() }, nil
}

func (o *Options) sampleTraining(runs [][]*trained) error {
	step, end := progress.Bar(o.Log, "training")
	defer end()
	total := int64((o.Repeats + trainSkip) * len(runs) * len(runs[0]))
	for i := range o.Repeats + trainSkip {
		for j := range runs[0] {
			for k := range runs {
				if err := runs[k][j].sample(i >= trainSkip); err != nil {
					return err
				}
				step(int64((i*len(runs[0])+j)*len(runs)+k+1), total)
			}
		}
	}
	return nil
}

// sample does a step.
func (t *trained) sample(counts bool) error {
	c, err := t.rig.peaks()
	if err != nil {
		return err
	}
	l, err, ok := t.next()
	switch {
	case err != nil:
		return err
	case !ok:
		return context.Canceled
	case counts:
		t.rate.All = append(t.rate.All, l.TokensPerSecond)
		t.shares = append(t.shares, t.rate.MACs/l.Seconds/c.Float32Peak)
	}
	return nil
}

func (t *trained) finish() TrainRate {
	r := t.rate
	r.PerSec, r.Share = median(r.All), median(t.shares)
	r.Seconds = float64(r.Windows*r.Length) / r.PerSec
	r.MACRate = r.MACs / r.Seconds
	return r
}
