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
	"os"
	"slices"
	"strings"
	"time"

	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/cpu"
)

// Options say what to measure. Zero values of Decode, Repeats, Prompts, Contexts
// and Settings stand for the defaults that Run's check fills in.
type Options struct {
	Models    []string // one float model to be quantized at each setting, or .qat files as they are
	Shape     string   // or random weights of a real model's shape
	Tokenizer string   // of a float model that has none beside it
	Settings  []string // W-A-KV, the base of ratios first
	KVScheme  string
	Float     string // f16, bf16 or f32: the type of float weights
	Prompts   []int  // tokens to prefill
	Contexts  []int  // tokens of context to decode at
	Batches   []int  // sequences to decode together
	Decode    int    // tokens to decode from there: a sample, or a part of one where that is short
	Repeats   int    // samples
	Threads   int    // 0: one a core
	Cache     string // where files are made, those of a shape to be kept; "": the user's cache directory
	Version   string
	Log       io.Writer // progress
}

func (o *Options) fill() error {
	o.Decode, o.Repeats = cmp.Or(o.Decode, 32), cmp.Or(o.Repeats, 5)
	if len(o.Settings) == 0 {
		o.Settings = []string{"16-16-16", "4-8-4"}
	}
	if len(o.Prompts) == 0 {
		o.Prompts = []int{512}
	}
	if len(o.Contexts) == 0 {
		o.Contexts = []int{64}
	}
	if len(o.Batches) == 0 {
		o.Batches = []int{1}
	}
	switch {
	case (len(o.Models) == 0) == (o.Shape == ""):
		return errors.New("want either models or a shape")
	case o.Decode < 1 || o.Repeats < 1:
		return fmt.Errorf("%d tokens a sample, %d samples; want at least 1", o.Decode, o.Repeats)
	case slices.Min(o.Prompts) < 1 || slices.Min(o.Contexts) < 1:
		return fmt.Errorf("prompts of %v and contexts of %v tokens; want at least 1", o.Prompts, o.Contexts)
	case slices.Min(o.Batches) < 1 || slices.Max(o.Batches) > passTokens:
		return fmt.Errorf("batches of %v sequences; want 1 to %d", o.Batches, passTokens)
	}
	return nil
}

// longest is the context that the samples need.
func (o *Options) longest() int {
	return max(slices.Max(o.Prompts), slices.Max(o.Contexts)+o.Decode)
}

// decodes lists the points at which decode is measured.
func (o *Options) decodes() []point {
	var list []point
	for _, c := range o.Contexts {
		for _, b := range o.Batches {
			list = append(list, point{c, b})
		}
	}
	return list
}

// point is a decode to be measured: sequences, each with context tokens.
type point struct{ context, batch int }

// Run measures every model and returns the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	dev, err := cpu.New(o.Threads, "")
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	dir, remove, err := o.dir()
	if err != nil {
		return nil, err
	}
	defer remove()
	files, title, err := o.prepare(ctx, dir)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Title: title, Date: time.Now().UTC().Truncate(time.Second), Command: strings.Join(os.Args, " "),
		Version: o.Version, Machine: describe(dev),
	}
	var subjects []*subject
	for _, f := range files {
		s, err := load(dev, f, &o)
		if err != nil {
			return nil, err
		}
		defer s.close()
		if s.result.Startup, err = startup(ctx, f, o.Threads); err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	if err := o.sample(ctx, dev, r, subjects); err != nil {
		return nil, err
	}
	for _, s := range subjects {
		r.Models = append(r.Models, s.finish(&o))
	}
	return r, nil
}

// readSize returns the size of the buffer whose reading gives the bandwidth: several
// times the caches, which on large servers hold 4 MB a core and more.
func readSize(threads int) int { return max(256<<20, threads*32<<20) }

// sample takes o.Repeats samples of everything, the models in turn, so that a
// machine whose speed drifts treats them alike.
func (o *Options) sample(ctx context.Context, dev *cpu.Device, r *Report, subjects []*subject) error {
	var bandwidth, ints, floats []float64
	step, end := progress.Bar(o.Log, "measuring")
	defer end()
	for i := range o.Repeats {
		ceiling := ceilings{int8: dev.Int8Peak(), float32: dev.Float32Peak()}
		ints, floats = append(ints, ceiling.int8), append(floats, ceiling.float32)
		for j, s := range subjects {
			if err := ctx.Err(); err != nil {
				return err
			}
			ceiling.read = dev.ReadBandwidth(readSize(dev.Workers()))
			bandwidth = append(bandwidth, ceiling.read)
			faults := majorFaults()
			if err := s.sample(o, ceiling); err != nil {
				return err
			}
			s.result.DiskReads += majorFaults() - faults
			step(int64(i*len(subjects)+j+1), int64(o.Repeats*len(subjects)))
		}
	}
	r.Machine.ReadBandwidth, r.Machine.Int8Peak, r.Machine.Float32Peak = median(bandwidth), median(ints), median(floats)
	return nil
}
