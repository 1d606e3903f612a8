// Package nn is a LLaMA that learns: forward and backward of every layer, with the
// rounding of weights, activations and KV cache that the served model will have.
// Operators are the device's; this package says in which order they come. What is trained
// runs forward by those that serve it, and is to the bit what is served.
package nn

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Options say what a model's numbers are rounded to, and how much a pass holds.
type Options struct {
	Quantization qat.Quantization
	Train        bool // it has gradients, and its forward pass is the served one
	LearnSteps   bool // of weights, as LSQ does (arXiv:1902.08153)
	MaxTokens    int  // of a pass, which where Train has MaxTokens/MaxLength sequences at most, rounded up
	MaxLength    int  // tokens of a sequence
	// Gate, where above 0, stops gradients of what a decoder layer rounds, weights, inputs
	// of linear layers, K and V, where it is this or more from 0.
	Gate float64
	// Compat rounds as LLM-QAT's released code does, quant.Released, and not as anything is
	// served: for KV scheme token, an lm_head in floats and steps neither learned nor given.
	Compat    bool
	Recompute bool // compute layers twice rather than keep what their gradients need
	KeepMaps  bool // a teacher whose attention a student's is compared with: a pass keeps every layer's
	TopK      int  // where above 0, how many tokens' logits of a teacher StepTopK takes
	// Steps, where it is not nil and does not return nil, has the steps of a tensor's rows:
	// what learning begins from or, where steps are not learned, what they stay. Tensors
	// that read the same input have them all or none. Others are MinMax's.
	Steps func(tensor string) []float32
}

// Model is a LLaMA in float32.
type Model struct {
	dev    kernels.TrainDevice
	config format.Config
	o      Options
	shape  shape
	params []*Param

	embed  linear
	layers []layer
	norm   norm
	head   linear // of the embedding, where that is tied

	memory, pass pass // all of it, and what the last batch took
	packer       packer
	hostStats    []float32
	hostLogits   []float32 // [headRows, vocab], once they are compared
	hostGaps     []float32
}

// New reads a model. What it takes of the device's memory is given back by nobody: a
// training run ends with its process.
func New(dev kernels.TrainDevice, src format.Source, o Options) (*Model, error) {
	c := *src.Config()
	q := o.Quantization
	m := &Model{dev: dev, config: c, o: o, shape: shape{
		heads: c.NumAttentionHeads, kvHeads: c.NumKeyValueHeads, dim: c.HeadDim,
		actBits: q.Bits.A, queryBits: q.QueryBits(), kv: q.KV(), gate: float32(o.Gate), released: o.Compat,
	}}
	if kv := q.KV(); o.Compat && (kv.Quantized() && !kv.RotateOnRead() || q.LMHeadBits != 16 || o.LearnSteps || o.Steps != nil) {
		panic(fmt.Sprintf("nn: Compat with %+v, learned steps: %v, given ones: %v", q, o.LearnSteps, o.Steps != nil))
	}
	b := &builder{dev: dev, src: src, o: o, config: &c}
	m.build(b)
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	m.params = b.params
	var err error
	if m.memory, err = newPass(dev, &m.shape, &c, o); err != nil {
		return nil, err
	}
	m.hostStats = make([]float32, m.memory.stats.Rows*m.memory.stats.Stride)
	m.hostGaps = make([]float32, m.memory.gaps.N)
	return m, dev.Sync()
}

func (m *Model) build(b *builder) {
	c, w := m.config, m.o.Quantization.Bits.W
	eps := float32(c.RMSNormEps)
	m.embed = b.rounded(b.param(c.HiddenSize, tensor{format.EmbedName, c.VocabSize}), 16, false)
	m.layers = make([]layer, c.NumHiddenLayers)
	for i := range m.layers {
		name := func(tail string) string { return format.LayerName(i, tail+".weight") }
		q, kv := m.shape.queries(), m.shape.keys()
		m.layers[i] = layer{
			shape:     &m.shape,
			inputNorm: norm{b.param(c.HiddenSize, tensor{name("input_layernorm"), 1}), eps},
			postNorm:  norm{b.param(c.HiddenSize, tensor{name("post_attention_layernorm"), 1}), eps},
			qkv: b.linear(w, c.HiddenSize, tensor{name("self_attn.q_proj"), q},
				tensor{name("self_attn.k_proj"), kv}, tensor{name("self_attn.v_proj"), kv}),
			out:    b.linear(w, q, tensor{name("self_attn.o_proj"), c.HiddenSize}),
			gateUp: b.linear(w, c.HiddenSize, tensor{name("mlp.gate_proj"), c.IntermediateSize}, tensor{name("mlp.up_proj"), c.IntermediateSize}),
			down:   b.linear(w, c.IntermediateSize, tensor{name("mlp.down_proj"), c.HiddenSize}),
		}
	}
	m.norm = norm{b.param(c.HiddenSize, tensor{format.NormName, 1}), eps}
	head := m.embed.Param
	if !c.TieWordEmbeddings {
		head = b.param(c.HiddenSize, tensor{format.LMHeadName, c.VocabSize})
	}
	if m.head = m.embed; !m.sameHead() {
		m.head = b.rounded(head, m.o.Quantization.LMHeadBits, false)
	}
}

// sameHead reports whether lm_head is the embedding, to the bit.
func (m *Model) sameHead() bool {
	return m.config.TieWordEmbeddings && m.o.Quantization.LMHeadBits == 16
}

// builder makes parameters of what a source holds.
type builder struct {
	dev    kernels.TrainDevice
	src    format.Source
	o      Options
	config *format.Config
	params []*Param
	errs   []error
}

type tensor struct {
	name string
	rows int
}

func (b *builder) floats(rows, cols int) kernels.Floats {
	f, err := kernels.NewFloats(b.dev, rows, cols)
	if err != nil {
		b.errs = append(b.errs, err)
	}
	return f
}

// param reads tensors of the same number of columns, one below the other.
func (b *builder) param(cols int, tensors ...tensor) *Param {
	p := &Param{}
	rows := 0
	for _, t := range tensors {
		p.Tensors = append(p.Tensors, Part{t.name, rows, rows + t.rows})
		rows += t.rows
	}
	p.W = b.floats(rows, cols)
	if b.o.Train {
		p.Grad = b.floats(rows, cols)
	}
	b.params = append(b.params, p)
	if len(b.errs) > 0 {
		return p
	}
	row := make([]float32, cols)
	for _, t := range p.Tensors {
		for i := t.From; i < t.To; i++ {
			if err := b.src.ReadRows(row, t.Name, i-t.From); err != nil {
				b.errs = append(b.errs, fmt.Errorf("tensor %q: %w", t.Name, err))
				return p
			}
			if !quant.IsFinite(quant.AbsMax(row)) {
				b.errs = append(b.errs, fmt.Errorf("tensor %q: row %d: %w", t.Name, i-t.From, quant.ErrNotFinite))
				return p
			}
			kernels.UploadFloats(b.dev, p.W.Part(i, i+1), row)
		}
	}
	return p
}

func (b *builder) linear(bits, cols int, tensors ...tensor) linear {
	return b.rounded(b.param(cols, tensors...), bits, b.o.LearnSteps && b.o.Train)
}

// rounded is p as a weight of the given bits.
func (b *builder) rounded(p *Param, bits int, learn bool) linear {
	l := linear{Param: p, bits: bits, hat: p.W}
	if bits == 16 {
		l.packed = b.packed(p, bits, l.step)
		return l
	}
	l.hat = b.floats(p.W.Rows, p.W.Cols)
	if b.o.Compat {
		l.released = true
		return l
	}
	given := b.given(p)
	l.kept = learn || given != nil
	if learn {
		l.steps = &Param{W: b.floats(1, p.W.Rows), Grad: b.floats(1, p.W.Rows), Of: p}
		l.step = vector(l.steps.W)
		b.params = append(b.params, l.steps)
	} else {
		var err error
		if l.step, err = kernels.Alloc[float32](b.dev, p.W.Rows); err != nil {
			b.errs = append(b.errs, err)
		}
	}
	l.packed = b.packed(p, bits, l.step)
	if len(b.errs) > 0 {
		return l
	}
	if given != nil {
		kernels.Upload(b.dev, l.step, given)
	} else {
		b.dev.WeightSteps(l.step, p.W, bits)
	}
	return l
}

// given returns the steps that the options have for p's rows, or nil.
func (b *builder) given(p *Param) (all []float32) {
	if b.o.Steps == nil {
		return nil
	}
	for _, t := range p.Tensors {
		steps := b.o.Steps(t.Name)
		if want := t.To - t.From; len(steps) != want && (len(steps) != 0 || len(all) != 0) {
			b.errs = append(b.errs, fmt.Errorf("tensor %q: %d steps, want %d: one a row", t.Name, len(steps), want))
			return nil
		}
		for i, s := range steps {
			if !(s >= 0 && quant.IsFinite(s)) {
				b.errs = append(b.errs, fmt.Errorf("tensor %q: row %d: step %v: want a number of 0 or more", t.Name, i, s))
				return nil
			}
		}
		all = append(all, steps...)
	}
	if n := len(all); n != 0 && n != p.W.Rows {
		b.errs = append(b.errs, fmt.Errorf("tensor %q: no steps, others that read the same input have them", p.Tensors[0].Name))
	}
	return all
}

// Params lists what is trained: of each layer the weights, then their steps where
// those are learned.
func (m *Model) Params() []*Param { return m.params }

// Config returns the model's shape.
func (m *Model) Config() *format.Config { return &m.config }

// Prepare rounds the weights as they are now, for the passes that follow.
func (m *Model) Prepare() {
	for i := range m.layers {
		for _, l := range m.layers[i].linears() {
			l.prepare(m.dev)
		}
	}
	m.embed.prepare(m.dev)
	if !m.sameHead() {
		m.head.prepare(m.dev)
	}
}

func (l *layer) linears() []*linear { return []*linear{&l.qkv, &l.out, &l.gateUp, &l.down} }

// ClearGrads makes all gradients 0.
func (m *Model) ClearGrads() {
	for _, p := range m.params {
		m.dev.Clear(p.Grad)
	}
}

// FinishGrads turns the gradients of rounded weights into those of the weights, once
// all passes of a step have added to them.
func (m *Model) FinishGrads() {
	for i := range m.layers {
		for _, l := range m.layers[i].linears() {
			l.finish(m.dev, m.shape.gate)
		}
	}
}

// rotations returns RoPE's table for positions 0..n-1.
func rotations(dev kernels.Memory, c *format.Config, n int) (kernels.RoPE, error) {
	r := kernels.RoPE{Positions: n, HeadDim: c.HeadDim}
	cos, sin := fp.Rotations(c.RoPEFrequencies(), 0, n)
	var err error
	if r.Cos, err = kernels.Alloc[float32](dev, len(cos)); err != nil {
		return r, err
	}
	if r.Sin, err = kernels.Alloc[float32](dev, len(sin)); err != nil {
		return r, err
	}
	kernels.Upload(dev, r.Cos, cos)
	kernels.Upload(dev, r.Sin, sin)
	return r, nil
}
