package report

import (
	"context"
	"fmt"

	"github.com/klauspost/cpuid/v2"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/runtime/device"
)

// speed is what is to be measured of all models in turn. Speeds of different runs do not compare,
// so that a model more means to measure all of them again.
type speed struct {
	Speed
	options bench.Options
}

// newSpeed says what is to be measured, and takes it over where it is known.
func (o *Options) newSpeed(s *Set, f *files, old *Report) (*speed, error) {
	b := bench.Options{Device: o.Device, Repeats: o.Repeats, Threads: []int{o.Threads}, Decode: decode, Pass: pass, Version: o.Version, Log: o.Log}
	longest := s.Teacher.Context
	for _, m := range f.models {
		longest = min(longest, m.Header().Config.MaxPositionEmbeddings)
		b.Models = append(b.Models, m.Path())
	}
	v := &speed{Speed{Prompt: min(o.Prompt, longest), Context: min(o.Context, longest-decode), Batch: o.Batch, Decode: decode, Pass: pass}, b}
	if v.Context < 1 {
		return nil, fmt.Errorf("models of a context of %d tokens: want more than the %d that are decoded in a sample", longest, decode)
	}
	v.options.Prompts, v.options.Contexts, v.options.Batches = []int{v.Prompt}, []int{v.Context}, []int{1, v.Batch}
	machine, err := machineName(o.Device, o.Threads)
	if err != nil {
		return nil, err
	}
	v.Key = keyOf("speed", s.hashes(), v.Prompt, v.Context, v.Batch, v.Decode, v.Pass, b.Repeats, machine, o.Version)
	for _, was := range old.Sets {
		if was.Speed != nil && was.Speed.Key == v.Key {
			s.Speed = was.Speed
		}
	}
	return v, nil
}

// measure measures all models in turn.
func (v *speed) measure(ctx context.Context, s *Set) error {
	r, err := bench.Run(ctx, v.options)
	if err != nil {
		return err
	}
	r.Command, r.Title = s.Command, s.Title
	v.Report = *r
	s.Speed = &v.Speed
	return nil
}

// machineName tells machines apart, as far as speed differs between them.
func machineName(name string, threads int) (string, error) {
	d, err := device.Open(name, threads)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s, %d threads", cpuid.CPU.BrandName, d.Device.Name(), d.Threads), d.Close()
}
