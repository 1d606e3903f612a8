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
)

// Recipe says which methods change a model. They are applied in the order of the fields.
type Recipe struct {
	Hadamard        bool
	Seed            uint64  // of Hadamard
	Smooth          float64 // SmoothQuant's α, 0 for none
	SmoothAttention float64 // its α, 0 for none
	AWQ             bool
	Clip            bool
	GPTQ            bool
	ActOrder        bool // of GPTQ
}

// methods are the names that Parse knows.
var methods = []struct {
	name string
	set  func(*Recipe)
}{
	{"rtn", func(*Recipe) {}},
	{"hadamard", func(r *Recipe) { r.Hadamard = true }},
	{"smooth", func(r *Recipe) { r.Smooth = 0.85 }},
	{"smooth-attention", func(r *Recipe) { r.SmoothAttention = 0.5 }},
	{"awq", func(r *Recipe) { r.AWQ = true }},
	{"clip", func(r *Recipe) { r.Clip = true }},
	{"gptq", func(r *Recipe) { r.GPTQ = true }},
	{"act-order", func(r *Recipe) { r.GPTQ, r.ActOrder = true, true }},
	// QServe's recipe (arXiv:2405.04532), without what weights of one step a row have no
	// use for.
	{"qoq", func(r *Recipe) { r.Hadamard, r.SmoothAttention, r.Clip = true, 0.5, true }},
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
	return r.Smooth != 0 || r.SmoothAttention != 0 || r.AWQ || r.GPTQ
}

// Apply changes m for weights, activations and KV cache of q's bits, and returns the
// steps of its weights, nil where they are MinMax's. c may be nil unless NeedsTokens.
func (r Recipe) Apply(ctx context.Context, m *Model, c *Calibration, q qat.Quantization) (Steps, error) {
	for name, alpha := range map[string]float64{"smooth": r.Smooth, "smooth-attention": r.SmoothAttention} {
		if !(alpha >= 0 && alpha <= 1) {
			return nil, fmt.Errorf("%s: alpha is %v, want 0 to 1", name, alpha)
		}
	}
	if r.NeedsTokens() {
		if err := c.check(&m.config); err != nil {
			return nil, err
		}
	}
	if (r.AWQ || r.Clip || r.GPTQ) && q.Bits.W == 16 {
		return nil, fmt.Errorf("awq, clip and gptq are about weights of 4 or 8 bits, these have %d", q.Bits.W)
	}
	if r.Hadamard {
		m.Rotate(r.Seed)
	}
	if r.Smooth != 0 {
		if err := m.Smooth(ctx, c, r.Smooth); err != nil {
			return nil, err
		}
	}
	if r.SmoothAttention != 0 {
		if err := m.SmoothAttention(ctx, c, r.SmoothAttention); err != nil {
			return nil, err
		}
	}
	if r.AWQ {
		if err := m.AWQ(ctx, c, q.Bits); err != nil {
			return nil, err
		}
	}
	if !r.Clip && !r.GPTQ {
		return nil, nil
	}
	find := m.MinMax
	if r.Clip {
		find = m.Clip
	}
	steps, err := find(ctx, q.Bits.W)
	if err != nil || !r.GPTQ {
		return steps, err
	}
	return steps, m.GPTQ(ctx, c, q, steps, r.ActOrder)
}
