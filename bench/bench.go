// Package bench measures how fast models run beside what the machine allows: the
// same prompt and the same decode at several settings, sample by sample in turn,
// with the read bandwidth and the multipliers' peak measured in between.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Options say what to measure. Empty lists and zero values of Pass, Decode and Repeats
// stand for the defaults that fill has.
type Options struct {
	Models    []string // one float model to be quantized at each setting, or .qat files as they are
	Shape     string   // or random weights of a real model's shape
	Tokenizer string   // of a float model that has none beside it
	Device    string   // as runtime/device has it: auto, cpu, cuda or cuda:N
	Settings  []string // W-A-KV, the base of ratios first
	KVSchemes []string // those that quantize the cache are measured with each
	Float     string   // f16, bf16 or f32: the type of float weights
	Prompts   []int    // tokens to prefill
	Contexts  []int    // tokens of context to decode at
	Batches   []int    // sequences to decode together; of RunMicro, rows of a linear layer
	Pass      int      // tokens of the passes that a prompt is cut in
	Decode    int      // tokens to decode from there: a sample, or a part of one where that is short
	Repeats   int      // samples
	Threads   []int    // numbers of them to measure with on a CPU; 0: one a core
	Cache     string   // where files are made, those of a shape to be kept; "": the user's cache directory
	Version   string
	Log       io.Writer // progress

	readSize int // tests' own, less than measures memory; 0: several times the caches
}

// serverPass is the size of the server's passes.
const serverPass = 512

func (o *Options) fill(contexts, batches []int) error {
	o.Pass, o.Decode, o.Repeats = cmp.Or(o.Pass, serverPass), cmp.Or(o.Decode, 32), cmp.Or(o.Repeats, 5)
	if len(o.Settings) == 0 {
		o.Settings = []string{"16-16-16", "4-8-4"}
	}
	if len(o.KVSchemes) == 0 {
		o.KVSchemes = []string{string(quant.KVHeadZP)}
	}
	for list, otherwise := range map[*[]int][]int{&o.Prompts: {512}, &o.Contexts: contexts, &o.Batches: batches, &o.Threads: {0}} {
		if len(*list) == 0 {
			*list = otherwise
		}
	}
	switch {
	case (len(o.Models) == 0) == (o.Shape == ""):
		return errors.New("want either models or a shape")
	case o.Decode < 1 || o.Repeats < 1:
		return fmt.Errorf("%d tokens a sample, %d samples; want at least 1", o.Decode, o.Repeats)
	case slices.Min(o.Prompts) < 1 || slices.Min(o.Contexts) < 1:
		return fmt.Errorf("prompts of %v and contexts of %v tokens; want at least 1", o.Prompts, o.Contexts)
	case o.Pass < 1:
		return fmt.Errorf("passes of %d tokens; want at least 1", o.Pass)
	case slices.Min(o.Batches) < 1 || slices.Max(o.Batches) > o.Pass:
		return fmt.Errorf("batches of %v sequences; want 1 to %d, the tokens of a pass", o.Batches, o.Pass)
	}
	return nil
}

// longest is the context that the samples need.
func (o *Options) longest() int {
	return max(slices.Max(o.Prompts), slices.Max(o.Contexts)+o.Decode)
}

// point is one thing to be measured: a prompt of tokens, or a decode of batch
// sequences that have tokens of context each.
type point struct {
	prompt        bool
	tokens, batch int
	rig           int // which number of threads
}

// points lists everything to be measured, as the table has it.
func (o *Options) points() (list []point) {
	for _, n := range o.Prompts {
		for g := range o.Threads {
			list = append(list, point{true, n, 1, g})
		}
	}
	for _, c := range o.Contexts {
		for _, b := range o.Batches {
			for g := range o.Threads {
				list = append(list, point{false, c, b, g})
			}
		}
	}
	return list
}

// ready opens the devices and makes the files that are to be measured; end closes the
// ones and removes of the others what is not kept.
func (o *Options) ready(ctx context.Context) (rigs []*rig, files []file, title string, end func(), err error) {
	rigs, closeRigs, err := o.newRigs()
	if err != nil {
		return nil, nil, "", nil, err
	}
	dir, remove, err := o.dir()
	if err == nil {
		if files, title, err = o.prepare(ctx, dir); err != nil {
			remove()
		}
	}
	if err != nil {
		closeRigs()
		return nil, nil, "", nil, err
	}
	return rigs, files, title, func() { remove(); closeRigs() }, nil
}

// Run measures every model and returns the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.fill([]int{64}, []int{1}); err != nil {
		return nil, err
	}
	rigs, files, title, end, err := o.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := o.fits(files, rigs[0]); err != nil {
		return nil, err
	}
	r := &Report{About: o.about(title, rigs)}
	subjects, err := o.load(ctx, rigs, files, r.meter())
	for _, s := range subjects {
		defer s.close()
	}
	if err != nil {
		return nil, err
	}
	if err := o.sample(ctx, rigs, subjects); err != nil {
		return nil, err
	}
	for _, g := range rigs {
		r.Machine.Ceilings = append(r.Machine.Ceilings, g.median())
	}
	for _, s := range subjects {
		r.Models = append(r.Models, s.finish(&o, rigs))
	}
	return r, nil
}

// load opens the files and measures how a fresh process starts with each. What it
// returns is to be closed, after an error too.
func (o *Options) load(ctx context.Context, rigs []*rig, files []file, energy *meter) (subjects []*subject, err error) {
	step, end := progress.Bar(o.Log, "loading")
	defer end()
	starts := make([]Startup, len(files))
	for i, f := range files { // before a GPU's memory holds what is to be measured
		if starts[i], err = startup(ctx, f, o.Device, most(o.Threads)); err != nil {
			return nil, err
		}
		step(int64(i+1), int64(2*len(files)))
	}
	for i, f := range files {
		s, err := load(rigs, f, o)
		if err != nil {
			return subjects, err
		}
		s.energy, s.result.Startup = energy, starts[i]
		subjects = append(subjects, s)
		step(int64(len(files)+i+1), int64(2*len(files)))
	}
	return subjects, nil
}

// sample takes o.Repeats samples of everything, the models in turn, so that a
// machine whose speed drifts treats them alike.
func (o *Options) sample(ctx context.Context, rigs []*rig, subjects []*subject) error {
	step, end := progress.Bar(o.Log, "measuring")
	defer end()
	total, done := o.Repeats*len(rigs)*len(subjects), 0
	for range o.Repeats {
		for i, g := range rigs {
			ceiling, err := g.peaks()
			if err != nil {
				return err
			}
			for _, s := range subjects {
				if ceiling.ReadBandwidth, err = g.bandwidth(); err != nil {
					return err
				}
				faults := majorFaults()
				if err := s.sample(ctx, o, i, ceiling); err != nil {
					return err
				}
				s.result.DiskReads += majorFaults() - faults
				done++
				step(int64(done), int64(total))
			}
		}
	}
	return nil
}
