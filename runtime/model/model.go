// Package model runs a LLaMA on a device: token ids in, logits out.
package model

import (
	"fmt"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Model is a LLaMA whose weights lie in a device's memory, and the memory for one
// pass over up to MaxTokens tokens. One goroutine uses it at a time.
type Model struct {
	dev    kernels.Device
	drawer kernels.Drawer // dev, where it draws tokens
	arena  *arena
	config format.Config
	kv     quant.KV
	eps    float32

	embed  kernels.Weight
	layers []layer
	norm   kernels.Buf[float32]
	lmHead []kernels.Weight // one

	rope    *rope
	meta    batcher
	scratch *scratch
	part    scratch // the part of it that the last pass used
	rows    int     // of part.x: those whose logits are wanted

	draws []kernels.Draw // of those rows, where the device draws
	drawn []int32        // and their tokens, after Logits
}

// Options bound what one pass holds. Zero values stand for the defaults.
type Options struct {
	MaxTokens  int // tokens of a pass: 512
	MaxSeqs    int // sequences of a pass: 16
	MaxContext int // tokens of a sequence: the model's max_position_embeddings

	// Progress, where it is not nil, is called as weights are copied to a device that
	// has memory of its own, with the bytes so far and of all.
	Progress func(done, total int64)
}

// maxPositions is how far RoPE's sines are exact (fp.SinCos).
const maxPositions = 1 << 20

// Resolve returns o with defaults filled in, or an error that names what no pass
// of a model of shape c can hold.
func (o Options) Resolve(c *format.Config) (Options, error) {
	if o.MaxTokens == 0 {
		o.MaxTokens = 512
	}
	if o.MaxSeqs == 0 {
		o.MaxSeqs = 16
	}
	if o.MaxContext == 0 {
		o.MaxContext = min(c.MaxPositionEmbeddings, maxPositions)
	}
	switch {
	case o.MaxContext < 1 || o.MaxContext > min(c.MaxPositionEmbeddings, maxPositions):
		return o, fmt.Errorf("context of %d tokens: this model takes 1 to %d", o.MaxContext, min(c.MaxPositionEmbeddings, maxPositions))
	case o.MaxTokens < 1 || o.MaxTokens > 1<<16:
		return o, fmt.Errorf("%d tokens a step; want 1 to %d", o.MaxTokens, 1<<16)
	case o.MaxSeqs < 1 || o.MaxSeqs > o.MaxTokens:
		return o, fmt.Errorf("%d sequences at once; want 1 to the %d tokens of a step", o.MaxSeqs, o.MaxTokens)
	}
	return o, nil
}

// Load makes a model of the weights in f, which must stay open until Close. A
// device that shares the host's memory reads the weights from the file's mapping.
func Load(dev kernels.Device, f *qat.File, o Options) (*Model, error) {
	h := f.Header()
	o, err := o.Resolve(&h.Config)
	if err != nil {
		return nil, err
	}
	m := newModel(dev, h)
	err = m.load(f, h, o)
	if own, ok := dev.(kernels.OwnMemory); ok && err == nil {
		err = own.Reserve(own.Measure(m.shapes))
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func newModel(dev kernels.Device, h *qat.Header) *Model {
	m := &Model{dev: dev, arena: &arena{Memory: dev}, config: h.Config, kv: h.Quantization.KV(), eps: float32(h.Config.RMSNormEps)}
	m.drawer, _ = dev.(kernels.Drawer)
	return m
}

func (m *Model) load(f *qat.File, h *qat.Header, o Options) (err error) {
	if err := m.weights(f, o.Progress); err != nil {
		return err
	}
	if m.rope, err = newRoPE(m.arena, &m.config, o.MaxContext); err != nil {
		return err
	}
	if m.meta, err = newBatcher(m.arena, o); err != nil {
		return err
	}
	m.scratch, err = newScratch(m.arena, h, o)
	return err
}

// Close frees the model's device memory.
func (m *Model) Close() { m.arena.free() }

// Forward puts K and V of the runs' tokens in kv, one cache a layer, and computes
// the hidden states of the tokens whose logits are wanted: rows, counted over the
// runs. The last layer does no more than they need. draws says how the device draws
// the token that follows each row, where it is a kernels.Drawer; it may be nil, and
// must stay as it is until Logits. Forward only queues work: failures come from
// Logits. Runs that exceed the model's options, and rows that are not theirs, are a
// caller's bug and panic.
func (m *Model) Forward(runs []Run, rows []int32, draws []kernels.Draw, kv []kernels.KVCache) {
	if m.drawer == nil || !slices.ContainsFunc(draws, wanted) {
		draws = nil
	}
	b := m.meta.pack(m, runs, rows, draws)
	m.part = m.scratch.first(b.T)
	p := pass{m.dev, &m.part, b, m.rope.table(), m.eps}
	m.dev.Embed(p.x, m.embed, b.Tokens)
	last := len(m.layers) - 1
	for i := range last {
		m.layers[i].attend(&p, kv[i])
		m.layers[i].feed(&p)
	}
	m.layers[last].attend(&p, kv[last])
	if m.rows, m.draws = len(rows), draws; m.rows > 0 {
		p.pick(rows, m.meta.rows)
		m.layers[last].feed(&p)
	}
}

// wanted reports whether the device draws a token by d.
func wanted(d kernels.Draw) bool { return d.Scale > 0 }

// Logits calls yield with the logits [vocab] that follow each of Forward's rows but
// those whose tokens the device draws, in their order; the slice is good during the
// call. It waits for the device, and returns the first failure since the last Logits
// or Sync; then what yield saw is worthless.
func (m *Model) Logits(yield func(i int, logits []float32)) error {
	d, s := m.dev, m.scratch
	rows := m.rows
	m.rows, m.drawn = 0, nil
	for from := 0; from < rows; from += s.logits.Rows {
		n := min(s.logits.Rows, rows-from)
		logits := m.head(m.part.x.Part(from, from+n))
		if m.draws != nil {
			m.drawer.Draw(s.ids.Slice(from, from+n), logits, m.meta.draws.Slice(from*kernels.DrawWords, (from+n)*kernels.DrawWords))
		}
		if err := m.yield(from, n, yield); err != nil {
			return err
		}
	}
	if m.draws != nil {
		m.drawn = s.drawn[:rows]
		kernels.Download(d, m.drawn, s.ids)
	}
	return m.Sync()
}

// head returns the logits of the hidden states x, good until the next call.
func (m *Model) head(x kernels.Floats) kernels.Floats {
	in, logits := m.scratch.lmIn.First(x.Rows), m.scratch.logits.First(x.Rows)
	m.dev.RMSNorm(in, x, m.norm, m.eps)
	m.dev.Linear(logits, in, m.lmHead...)
	return logits
}

// yield downloads those of the n rows of logits from the given one on whose tokens
// the device does not draw. It waits only where there are any.
func (m *Model) yield(from, n int, yield func(i int, logits []float32)) error {
	s, waited := m.scratch, false
	for i := range n {
		if m.draws != nil && wanted(m.draws[from+i]) {
			continue
		}
		if !waited {
			if err := m.Sync(); err != nil {
				return err
			}
			waited = true
		}
		kernels.Download(m.dev, s.host, s.logits.Buf.Slice(i*s.logits.Stride, i*s.logits.Stride+len(s.host)))
		yield(from+i, s.host)
	}
	return nil
}

// Drawn returns, after Logits, the token that the device drew for each of Forward's
// rows, kernels.NoToken where draws asked for none or no logit allows one. It is nil
// where the device draws nothing, and good until the next Logits.
func (m *Model) Drawn() []int32 { return m.drawn }

// Sync waits for the device and returns the first failure since the last Logits or Sync.
func (m *Model) Sync() error {
	if err := m.dev.Sync(); err != nil {
		return fmt.Errorf("forward pass on %s: %w", m.dev.Name(), err)
	}
	return nil
}
