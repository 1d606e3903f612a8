package model

import (
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// ScratchBytes is the device memory that Load takes beside the weights for the
// resolved options o, but for DeviceScratch.
func ScratchBytes(h *qat.Header, o Options) int64 {
	a := &arena{Memory: nowhere{}}
	m := &Model{arena: a, config: h.Config}
	m.rope, _ = newRoPE(a, &m.config, o.MaxContext)
	m.meta, _ = newBatcher(a, o)
	m.scratch, _ = newScratch(a, h, o) // nowhere never fails
	return a.bytes
}

// DeviceScratch is the memory of dev that its operators will take for themselves, and
// Load reserves: 0 on a device that shares the host's memory.
func DeviceScratch(dev kernels.Device, f *qat.File, o Options) (bytes int64, err error) {
	own, ok := dev.(kernels.OwnMemory)
	if !ok {
		return 0, nil
	}
	bytes = own.Measure(func() {
		m := newModel(dev, f.Header())
		if err = m.load(f, f.Header(), o); err == nil {
			m.shapes()
		}
	})
	return bytes, err
}

// shapes calls the operators with every number of tokens that a pass may have, as one
// sequence and as many, at the longest context: what a device measures there is enough
// for any pass. All layers have one layer's shapes.
func (m *Model) shapes() {
	o, ints := m.meta.o, m.meta.buf
	pages := kvcache.Count(o.MaxContext)
	kv, err := kernels.NewKVCache(m.dev, m.kv, pages, m.config.NumKeyValueHeads, m.config.HeadDim)
	if err != nil { // as large as one sequence, which was planned for
		panic(err)
	}
	for t := 1; t <= o.MaxTokens; t++ {
		for _, s := range []int{1, min(t, o.MaxSeqs)} {
			p := pass{m.dev, new(scratch), &kernels.Batch{
				T: t, Tokens: ints.Slice(0, t), Positions: ints.Slice(0, t), Slots: ints.Slice(0, t),
				S: s, QueryStart: ints.Slice(0, s+1), SeqLens: ints.Slice(0, s),
				MaxPages: pages, PageTable: ints.Slice(0, s*pages),
			}, m.rope.full, m.eps}
			*p.scratch = m.scratch.first(t)
			m.dev.Embed(p.x, m.embed, p.batch.Tokens)
			m.layers[0].attend(&p, kv)
			m.layers[0].feed(&p)
		}
	}
	for n := 1; n <= m.scratch.logits.Rows; n++ {
		logits := m.head(m.scratch.x.First(n))
		if m.drawer != nil {
			m.drawer.Draw(m.scratch.ids.Slice(0, n), logits, ints.Slice(0, n*kernels.DrawWords))
		}
	}
}

// Warm runs a token twice, in the first page of kv, so that what a device makes when it
// is first used, as the memory of a graph, is there before a request comes.
func (m *Model) Warm(kv []kernels.KVCache) error {
	for range 2 {
		m.Forward([]Run{{Tokens: []int32{0}, Pages: []int32{0}}}, []int32{0}, []kernels.Draw{{Scale: 1, TopK: 1}}, kv)
		if err := m.Logits(func(int, []float32) {}); err != nil {
			return err
		}
	}
	return nil
}
