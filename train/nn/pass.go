package nn

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
)

// Batch is sequences of tokens. Each token's target is the one that follows it; a
// sequence's last token has none.
type Batch [][]int32

// Tokens counts the batch's tokens.
func (b Batch) Tokens() (n int) {
	for _, s := range b {
		n += len(s)
	}
	return n
}

// Targets counts the tokens that have a target.
func (b Batch) Targets() (n int) {
	for _, s := range b {
		n += max(len(s)-1, 0)
	}
	return n
}

// headRows is how many rows of logits are computed at a time: enough for products to
// be fast, few enough that logits of large vocabularies take little memory.
const headRows = 256

// pass is the memory of a pass over T tokens, and what the layers need to know of it.
type pass struct {
	dev  kernels.TrainDevice
	rope kernels.RoPE

	ids, positions, targets kernels.Buf[int32] // [T]
	start                   kernels.Buf[int32] // [T+1] at most
	seqs                    kernels.Sequences

	x     []kernels.Floats // [layers+1] of [T, H]: each layer's input, and the last one's output
	acts  []acts           // [layers], or one for all; of a teacher's maps qkv and stats alone are each layer's own
	out   kernels.Floats   // [T, H] behind the last norm, rounded
	read  kernels.Rows     // the same as lm_head reads it
	dx    kernels.Floats   // [T, H]
	grads grads
	gaps  kernels.Floats // [T, heads+1]: how far attention's heads, and then hidden states, are from a teacher's

	logits, stats   kernels.Floats // [headRows, vocab], [headRows, 4]
	served, unasked kernels.Floats // as logits: another model's, and gradients that nobody wants

	stored stored // of a teacher, where the student learns without it

	serving serving // where the forward pass is the served one

	watch *watch // of what is rounded, where that is measured
}

// grads are gradients on their way through a layer.
type grads struct {
	in, qkv, attn, gateUp, ff kernels.Floats
}

// newPass allocates a pass over o.MaxTokens tokens.
func newPass(dev kernels.TrainDevice, s *shape, c *format.Config, o Options) (pass, error) {
	if o.MaxTokens < 1 || o.MaxLength < 1 || o.MaxLength > c.MaxPositionEmbeddings {
		return pass{}, fmt.Errorf("passes of %d tokens in sequences of %d: want 1 or more, in sequences of at most the model's %d", o.MaxTokens, o.MaxLength, c.MaxPositionEmbeddings)
	}
	t, f, qkv := o.MaxTokens, c.IntermediateSize, s.queries()+2*s.keys()
	p := pass{dev: dev, seqs: kernels.Sequences{HeadDim: s.dim}}
	var errs []error
	floats := func(rows, cols int) kernels.Floats {
		f, err := kernels.NewFloats(dev, rows, cols)
		errs = append(errs, err)
		return f
	}
	ints := func(n int) kernels.Buf[int32] {
		b, err := kernels.Alloc[int32](dev, n)
		errs = append(errs, err)
		return b
	}
	for range c.NumHiddenLayers + 1 {
		p.x = append(p.x, floats(t, c.HiddenSize))
	}
	kept := 1
	if o.Train && !o.Recompute || o.KeepMaps {
		kept = c.NumHiddenLayers
	}
	var a acts
	for i := range kept {
		if i == 0 || o.Train {
			a = acts{
				in: floats(t, c.HiddenSize), attn: floats(t, s.queries()), mid: floats(t, c.HiddenSize),
				ffIn: floats(t, c.HiddenSize), gateUp: floats(t, 2*f), ff: floats(t, f),
			}
		}
		a.qkv, a.stats = floats(t, qkv), floats(t, 2*s.heads)
		if bits := o.Quantization.Bits; o.Train && o.Gate > 0 {
			if bits.A < 16 {
				a.raw = raw{in: floats(t, c.HiddenSize), attn: floats(t, s.queries()), ffIn: floats(t, c.HiddenSize), ff: floats(t, f)}
			}
			if bits.KV < 16 {
				a.raw.k, a.raw.v = floats(t, s.keys()), floats(t, s.keys())
			}
		}
		p.acts = append(p.acts, a)
	}
	if o.Train {
		p.dx = floats(t, c.HiddenSize)
		p.grads = grads{in: floats(t, c.HiddenSize), qkv: floats(t, qkv), attn: floats(t, s.queries()), gateUp: floats(t, 2*f), ff: floats(t, f)}
		p.gaps = floats(t, s.heads+1)
	}
	p.out = floats(t, c.HiddenSize)
	p.logits, p.stats = floats(min(headRows, t), c.VocabSize), floats(min(headRows, t), 4)
	if o.Train {
		p.served, p.unasked = floats(min(headRows, t), c.VocabSize), floats(min(headRows, t), c.VocabSize)
	}
	if rows := min(headRows, t); o.TopK > 0 {
		p.stored = stored{ints(rows * o.TopK), floats(rows, o.TopK+1)}
	}
	p.ids, p.positions, p.targets, p.start = ints(t), ints(t), ints(t), ints(t+1)
	var err error
	if o.serves() {
		p.serving, err = newServing(dev, s, c, o)
		errs = append(errs, err)
	}
	p.rope, err = rotations(dev, c, o.MaxLength)
	if err := errors.Join(append(errs, err)...); err != nil {
		return p, fmt.Errorf("memory for passes of %d tokens: %w", t, err)
	}
	return p, nil
}

// first sets part to the pass's memory for t tokens.
func (p *pass) first(part *pass, t int) {
	x, acts := part.x[:0], part.acts[:0]
	for _, f := range p.x {
		x = append(x, f.First(t))
	}
	for _, a := range p.acts {
		for _, f := range a.all() {
			if f.Rows > 0 {
				*f = f.First(t)
			}
		}
		acts = append(acts, a)
	}
	*part = *p
	part.x, part.acts = x, acts
	g := &part.grads
	part.out = part.out.First(t)
	if p.dx.Rows > 0 {
		for _, f := range []*kernels.Floats{&part.dx, &part.gaps, &g.in, &g.qkv, &g.attn, &g.gateUp, &g.ff} {
			*f = f.First(t)
		}
	}
	if p.serving.on {
		part.serving.rows = p.serving.rows.first(t, p.ids.N)
	}
	part.ids, part.positions, part.targets = p.ids.Slice(0, t), p.positions.Slice(0, t), p.targets.Slice(0, t)
}

// packer writes batches as a pass reads them.
type packer struct{ ids, positions, targets, start []int32 }

// load makes the model's pass one over b, and panics where that does not fit.
func (m *Model) load(b Batch) {
	h, n := &m.packer, b.Tokens()
	if n == 0 || n > m.memory.ids.N {
		panic(fmt.Sprintf("nn: a pass of %d tokens, want 1 to %d", n, m.memory.ids.N))
	}
	h.ids, h.positions, h.targets, h.start = h.ids[:0], h.positions[:0], h.targets[:0], append(h.start[:0], 0)
	longest, used := 0, 0
	for _, s := range b {
		if len(s) == 0 || len(s) > m.memory.rope.Positions {
			panic(fmt.Sprintf("nn: a sequence of %d tokens, want 1 to %d", len(s), m.memory.rope.Positions))
		}
		for i, id := range s {
			if id < 0 || int(id) >= m.config.VocabSize {
				panic(fmt.Sprintf("nn: token %d of a vocabulary of %d", id, m.config.VocabSize))
			}
			target := int32(-1)
			if i+1 < len(s) {
				target = s[i+1]
			}
			h.ids, h.positions, h.targets = append(h.ids, id), append(h.positions, int32(i)), append(h.targets, target)
		}
		h.start, longest = append(h.start, int32(len(h.ids))), max(longest, len(s))
		used += pages(len(s))
	}
	if kv := &m.memory.serving.kv; m.memory.serving.on && used > kv.Pages {
		panic(fmt.Sprintf("nn: a pass of %d sequences in %d pages of KV cache, want %d pages at most", len(b), used, kv.Pages))
	}
	p := &m.pass
	if p.ids.N != n {
		m.memory.first(p, n)
	}
	p.seqs = kernels.Sequences{Start: m.memory.start.Slice(0, len(h.start)), N: len(b), Longest: longest, HeadDim: m.shape.dim}
	kernels.Upload(m.dev, p.ids, h.ids)
	kernels.Upload(m.dev, p.positions, h.positions)
	kernels.Upload(m.dev, p.targets, h.targets)
	kernels.Upload(m.dev, p.seqs.Start, h.start)
	if p.serving.on {
		p.serving.load(p, b)
	}
}
