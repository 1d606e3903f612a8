package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// microMemory is what the operators read and write.
type microMemory struct {
	dev     gauged
	gpu     bool
	config  *format.Config
	rng     *rand.Rand
	context int // the longest
	tokens  int // the most of context that a pass reads: of one sequence or of several
	read    int // bytes that are several times the caches
	// ints and floats hold weights: as much as a whole model's, up to several times the
	// caches. An operator goes through all of it window by window, so that it finds in
	// the caches what it would in a model: nothing, unless the model is that small.
	ints, floats bank
	caches       map[quant.KV]kernels.KVCache
	count        kernels.Buf[int32] // 0, 1, 2, ...: positions, slots, pages and ids
}

// on returns the same memory for the operators of another device of the processor.
func (m *microMemory) on(g *rig) *microMemory {
	n := *m
	n.dev = g.dev
	return &n
}

// bank is memory for weights of one type.
type bank struct {
	mem   kernels.Mem
	bytes int
	typ   kernels.WeightType // of floats
}

func (o *Options) newMicroMemory(rigs []*rig, c *format.Config, quantizations []qat.Quantization, log io.Writer) (*microMemory, error) {
	step, end := progress.Bar(log, "filling memory")
	defer end()
	dev := rigs[0].dev
	context := slices.Max(o.Contexts)
	m := &microMemory{dev: dev, gpu: rigs[0].threads == 0, config: c, rng: rand.New(rand.NewPCG(1, 2)), context: context, caches: map[quant.KV]kernels.KVCache{}}
	for _, length := range o.Contexts {
		pages := kvcache.Count(length)
		m.tokens = max(m.tokens, slices.Max(m.sequences(o, length))*pages*kernels.PageTokens)
	}
	for _, g := range rigs {
		m.read = max(m.read, g.readSize)
	}
	m.floats.typ = map[string]kernels.WeightType{
		qat.Float16: kernels.Float16, qat.BFloat16: kernels.BFloat16, qat.Float32: kernels.Float32,
	}[quantizations[0].Float]
	for _, q := range quantizations {
		m.size(q)
	}
	var err error
	for _, b := range []*bank{&m.ints, &m.floats} {
		if b.mem, err = dev.Alloc(b.bytes); err != nil {
			return nil, err
		}
	}
	fill(dev, m.ints.mem, m.ints.bytes, ints(m.rng))
	fill(dev, m.floats.mem, m.floats.bytes, floats(m.rng, m.floats.typ.RowBytes(quant.RowAlign)/quant.RowAlign, m.floats.typ == kernels.BFloat16))
	n := max(context, c.VocabSize)
	for i, q := range quantizations {
		kv := q.KV()
		cache, ok := m.caches[kv]
		if !ok {
			if cache, err = kernels.NewKVCache(dev, kv, m.pages(q), c.NumKeyValueHeads, c.HeadDim); err != nil {
				return nil, err
			}
			fillKV(dev, cache, m.rng)
			m.caches[kv] = cache
		}
		n = max(n, cache.Pages*kernels.PageTokens)
		step(int64(i+1), int64(len(quantizations)))
	}
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	m.count, err = kernels.Alloc[int32](dev, n)
	kernels.Upload(dev, m.count, list)
	return m, err
}

// size makes the banks large enough for a model of q's formats, within the bounds.
func (m *microMemory) size(q qat.Quantization) {
	table := m.table()
	largest := map[*bank]int{&m.floats: table.Type.RowBytes(table.In) * table.Out}
	for _, l := range m.layers(q) {
		largest[l.bank] = max(largest[l.bank], l.bytes())
	}
	for b, n := range largest {
		b.bytes = max(b.bytes, n, min(m.weights(q), 4*m.read))
	}
}

// weights is the size of a model's linear layers: what passes by between two uses of
// a weight.
func (m *microMemory) weights(q qat.Quantization) (n int) {
	for _, l := range m.layers(q) {
		n += l.times * l.bytes()
	}
	return n
}

// pages is how many pages the KV cache of one layer takes to hold a context, and to be
// no more in the processor's caches than where weights and other layers' pages pass by.
func (m *microMemory) pages(q qat.Quantization) int {
	page := kernels.PageTokens * q.KV().TokenBytes(m.config.NumKeyValueHeads, m.config.HeadDim)
	context := kvcache.Count(m.tokens)
	return max(context, min(m.read, m.weights(q)+m.config.NumHiddenLayers*context*page)/page)
}

// layer is one kind of linear layer of a model.
type layer struct {
	name  string
	times int // in a model
	outs  []int
	in    int
	typ   kernels.WeightType
	bits  int // of what it reads
	add   bool
	bank  *bank
}

// bytes is the size of its weights, scales included.
func (l *layer) bytes() int {
	n := 0
	for _, out := range l.outs {
		n += out * l.typ.RowBytes(l.in)
		if l.typ.Quantized() {
			n += 4 * out
		}
	}
	return n
}

// layers lists the linear layers as runtime/model calls them.
func (m *microMemory) layers(q qat.Quantization) []layer {
	c := m.config
	heads, kv := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	h, f, n := c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers
	typ := func(bits int) (kernels.WeightType, *bank) {
		switch bits {
		case 4:
			return kernels.Int4, &m.ints
		case 8:
			return kernels.Int8, &m.ints
		}
		return m.floats.typ, &m.floats
	}
	t, b := typ(q.Bits.W)
	headType, headBank := typ(q.LMHeadBits)
	return []layer{
		{"qkv", n, []int{heads, kv, kv}, h, t, q.Bits.A, false, b},
		{"o", n, []int{h}, heads, t, q.Bits.A, true, b},
		{"gate_up", n, []int{f, f}, h, t, q.Bits.A, false, b},
		{"down", n, []int{h}, f, t, q.Bits.A, true, b},
		{"lm_head", 1, []int{c.VocabSize}, h, headType, q.LMHeadActivationBits(), false, headBank},
	}
}

// windows returns l's weights as often as its bank holds them, side by side.
func (m *microMemory) windows(l *layer) (list [][]kernels.Weight, err error) {
	scale, err := kernels.Alloc[float32](m.dev, slices.Max(l.outs))
	if err != nil {
		return nil, err
	}
	kernels.Upload(m.dev, scale, slices.Repeat([]float32{0.01}, scale.N))
	for at := 0; ; {
		var w []kernels.Weight
		for _, out := range l.outs {
			n := out * l.typ.RowBytes(l.in) // a multiple of 64 where out is even
			if at+n > l.bank.bytes {
				return list, nil
			}
			one := kernels.Weight{Type: l.typ, Data: kernels.Buf[uint8]{Mem: l.bank.mem, Off: at, N: n}, Out: out, In: l.in}
			if l.typ.Quantized() {
				one.Scale = scale.Slice(0, out)
			}
			w, at = append(w, one), at+(n+63)&^63
		}
		list = append(list, w)
	}
}

// table is an embedding table.
func (m *microMemory) table() kernels.Weight {
	c := m.config
	n := c.VocabSize * m.floats.typ.RowBytes(c.HiddenSize)
	return kernels.Weight{Type: m.floats.typ, Data: kernels.Buf[uint8]{Mem: m.floats.mem, N: n}, Out: c.VocabSize, In: c.HiddenSize}
}

// noise returns rows of floats between -0.5 and 0.5, their padding zero.
func (m *microMemory) noise(rows, cols int) (kernels.Floats, error) {
	f, err := kernels.NewFloats(m.dev, rows, cols)
	if err != nil {
		return f, fmt.Errorf("%d rows of %d: %w", rows, cols, err)
	}
	v := make([]float32, f.N)
	for i := range v {
		if i%f.Stride < cols {
			v[i] = m.rng.Float32() - 0.5
		}
	}
	kernels.Upload(m.dev, f.Buf, v)
	return f, nil
}

// input returns rows of noise, quantized as a layer reads them.
func (m *microMemory) input(rows, cols, bits int) (kernels.Rows, error) {
	f, err := m.noise(rows, cols)
	if err != nil {
		return kernels.Rows{}, err
	}
	r, err := kernels.NewRows(m.dev, rows, cols, bits)
	if err == nil {
		m.dev.Quantize(r, f)
		err = m.dev.Sync()
	}
	return r, err
}

// floatBytes and rowBytes are the sizes of an operand's values, padding not counted.
func floatBytes(f kernels.Floats) int64 { return 4 * int64(f.Rows) * int64(f.Cols) }

func rowBytes(r kernels.Rows) int64 {
	if r.Bits == 16 {
		return 4 * int64(r.N) * int64(r.Cols)
	}
	return int64(r.N) * int64(r.Cols+8) // with scale and sum
}
