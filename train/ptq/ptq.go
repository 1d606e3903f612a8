// Package ptq holds methods that make a float model lose less when it is rounded, and
// need no training: folds, which leave the model's function as it is and its numbers
// easier to round; searches for the weights' steps; and GPTQ, which rounds weights.
// What comes out is a float model and, of some methods, steps: to be written as it is,
// or to be where training begins. Results depend on neither threads nor timing.
package ptq

import (
	"context"
	"fmt"
	"strings"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Recipe says which methods change a model. They are applied in the order of the fields.
type Recipe struct {
	Hadamard        Rotations
	Seed            uint64 // of Hadamard
	SmoothQuant     bool
	SmoothAlpha     float64 // of SmoothQuant; 0: searched for each group of layers
	SmoothAttention bool
	SmoothOutputs   bool // what o_proj and down_proj read, as QoQ does
	AWQ             bool
	Clip            Clipping
	GPTQ            bool
	ActOrder        bool // of GPTQ
}

// Clipping says by what the weights' steps are searched.
type Clipping int

const (
	ClipNone      Clipping = iota // MinMax steps
	ClipByOutputs                 // what changes the layers' outputs the least
	ClipByWeights                 // what changes the weights themselves the least
)

// methods are the names that Parse knows. Where two of a recipe search steps, clip wins.
var methods = []struct {
	name string
	set  func(*Recipe)
}{
	{"rtn", func(*Recipe) {}},
	{"clip", func(r *Recipe) { r.Clip = ClipByWeights }},
	{"smoothquant", func(r *Recipe) { r.SmoothQuant = true }},
	{"gptq", func(r *Recipe) { r.GPTQ = true }},
	{"act-order", func(r *Recipe) { r.GPTQ, r.ActOrder = true, true }},
	{"awq", func(r *Recipe) { r.AWQ = true; r.Clip = max(r.Clip, ClipByOutputs) }},
	{"hadamard", func(r *Recipe) { r.Hadamard = RotateValues }},
	{"smooth-attention", func(r *Recipe) { r.SmoothAttention = true }},
	// QServe's recipe (arXiv:2405.04532) without what weights of one step a row have no
	// use for; its released configuration is qoq+gptq.
	{"qoq", func(r *Recipe) {
		r.Hadamard = max(r.Hadamard, RotateStream)
		r.SmoothAttention, r.SmoothOutputs = true, true
		r.Clip = max(r.Clip, ClipByOutputs)
	}},
}

// Methods lists the names that Parse knows.
func Methods() (names []string) {
	for _, m := range methods {
		names = append(names, m.name)
	}
	return names
}

// Parse reads the names of methods, as "hadamard+gptq".
func Parse(s string) (Recipe, error) {
	var r Recipe
next:
	for name := range strings.SplitSeq(s, "+") {
		for _, m := range methods {
			if m.name == name {
				m.set(&r)
				continue next
			}
		}
		return r, fmt.Errorf("method %q: want some of %s, joined by +", name, strings.Join(Methods(), ", "))
	}
	return r, nil
}

// NeedsTokens reports whether the recipe looks at activations.
func (r Recipe) NeedsTokens() bool {
	return r.SmoothQuant || r.SmoothAttention || r.SmoothOutputs || r.AWQ || r.Clip == ClipByOutputs || r.GPTQ
}

// Check returns the error that Apply has of the recipe itself, for those who prepare long for it.
func (r Recipe) Check(b quant.Bits) error {
	if !(r.SmoothAlpha >= 0 && r.SmoothAlpha <= 1) {
		return fmt.Errorf("smoothquant: alpha is %v, want 0 to 1", r.SmoothAlpha)
	}
	if (r.AWQ || r.Clip != ClipNone || r.GPTQ) && b.W == 16 {
		return fmt.Errorf("awq, clip, gptq and qoq are about weights of 4 or 8 bits, these have %d: give them fewer, or leave these methods out", b.W)
	}
	return nil
}

// Apply changes m for weights, activations and KV cache of q's bits, and returns the
// steps of its weights, nil where they are MinMax's. c may be nil unless NeedsTokens.
func (r Recipe) Apply(ctx context.Context, m *Model, c *Calibration, q qat.Quantization) (Steps, error) {
	if err := r.Check(q.Bits); err != nil {
		return nil, err
	}
	if r.NeedsTokens() {
		if err := c.check(&m.config); err != nil {
			return nil, err
		}
	}
	if r.Hadamard != RotateNone {
		m.Rotate(r.Seed, r.Hadamard)
	}
	for _, fold := range []struct {
		wanted bool
		apply  func() error
	}{
		{r.SmoothQuant, func() error { return m.SmoothQuant(ctx, c, r.SmoothAlpha, q.Bits) }},
		{r.SmoothAttention, func() error { return m.SmoothAttention(ctx, c) }},
		{r.SmoothOutputs, func() error { return m.SmoothOutputs(ctx, c) }},
		{r.AWQ, func() error { return m.AWQ(ctx, c, q.Bits) }},
	} {
		if fold.wanted {
			if err := fold.apply(); err != nil {
				return nil, err
			}
		}
	}
	steps, err := r.steps(ctx, m, c, q.Bits.W)
	if err != nil || !r.GPTQ {
		return steps, err
	}
	return steps, m.GPTQ(ctx, c, q, steps, r.ActOrder)
}

// steps are those that the recipe gives weights, nil for MinMax's where all is left to
// who writes the file.
func (r Recipe) steps(ctx context.Context, m *Model, c *Calibration, bits int) (Steps, error) {
	switch {
	case r.Clip == ClipByWeights:
		return m.Clip(ctx, bits)
	case r.Clip == ClipByOutputs:
		return m.ClipOutputs(ctx, c, bits)
	case r.GPTQ:
		return m.MinMax(ctx, bits)
	}
	return nil, nil
}
