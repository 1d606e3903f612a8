package kvcache

import (
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Pool is the device memory of a model's cache.
type Pool struct {
	Layers []kernels.KVCache // all of the same number of pages
	mem    kernels.Memory
}

// PageBytes is what one page costs in all layers, scales included.
func PageBytes(c *format.Config, kv quant.KV) int64 {
	return int64(c.NumHiddenLayers) * kernels.PageTokens * int64(kv.TokenBytes(c.NumKeyValueHeads, c.HeadDim))
}

// NewPool allocates pages pages for each layer of c.
func NewPool(m kernels.Memory, c *format.Config, kv quant.KV, pages int) (*Pool, error) {
	p := &Pool{Layers: make([]kernels.KVCache, c.NumHiddenLayers), mem: m}
	for i := range p.Layers {
		var err error
		p.Layers[i], err = kernels.NewKVCache(m, kv, pages, c.NumKeyValueHeads, c.HeadDim)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("KV cache of %d pages, %d bytes: layer %d: %w", pages, int64(pages)*PageBytes(c, kv), i, err)
		}
	}
	return p, nil
}

// CopyPage makes page dst what page src is, in all layers.
func (p *Pool) CopyPage(dst, src int32) {
	for i := range p.Layers {
		p.Layers[i].CopyPage(p.mem, dst, src)
	}
}

// Close frees the pages.
func (p *Pool) Close() {
	for _, c := range p.Layers {
		for _, m := range []kernels.Mem{c.K.Mem, c.V.Mem, c.KScale.Mem, c.VScale.Mem, c.KZero.Mem, c.VZero.Mem} {
			if m != nil {
				p.mem.Free(m)
			}
		}
	}
	p.Layers = nil
}
