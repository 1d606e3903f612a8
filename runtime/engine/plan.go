package engine

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// ErrMemory means that a model with its cache does not fit.
var ErrMemory = errors.New("not enough memory")

// moderate is the context for which every sequence has room by default; longer
// ones share.
const moderate = 2048

func modelOptions(o Options) model.Options {
	return model.Options{MaxTokens: o.Budget, MaxSeqs: o.MaxSeqs, MaxContext: o.MaxContext}
}

// plan fills in o's defaults and says what the engine will take, before it is taken.
func plan(f *qat.File, o Options) (Info, Options, error) {
	h := f.Header()
	if o.Device == nil {
		return Info{}, o, errors.New("engine: no device")
	}
	if o.Budget == 0 {
		o.Budget = 512
	}
	if o.MaxSeqs == 0 {
		o.MaxSeqs = min(16, o.Budget)
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 256
	}
	m, err := modelOptions(o).Resolve(&h.Config)
	if err != nil {
		return Info{}, o, err
	}
	o.MaxContext = m.MaxContext

	kv := h.Quantization.KV()
	page := kvcache.PageBytes(&h.Config, kv)
	least := int64(kvcache.Count(o.MaxContext))
	pages := o.KVBytes / page
	if o.KVBytes == 0 {
		pages = max(least, int64(o.MaxSeqs)*int64(kvcache.Count(min(o.MaxContext, moderate))))
	}
	if pages < least {
		return Info{}, o, fmt.Errorf("a KV cache of %s holds %d tokens, one sequence of the whole context of %d needs %s: "+
			"give it more, or shorten the context: %w", size(o.KVBytes), pages*kernels.PageTokens, o.MaxContext, size(least*page), ErrMemory)
	}
	if pages > maxPages {
		return Info{}, o, fmt.Errorf("a KV cache of %d pages; at most %d can be numbered: %w", pages, maxPages, ErrMemory)
	}
	if o.MaxQueueTokens == 0 {
		o.MaxQueueTokens = 4 * pages * kernels.PageTokens
	}
	info := Info{
		Device: o.Device.Name(), Bits: h.Quantization.Bits, KVScheme: h.Quantization.KVScheme,
		Parameters: h.Config.Parameters(), VocabSize: h.Config.VocabSize,
		MaxContext: o.MaxContext, MaxSeqs: o.MaxSeqs, Budget: o.Budget, KVPages: int(pages),
		WeightBytes: int64(len(f.Bytes())), KVBytes: pages * page, ScratchBytes: model.ScratchBytes(h, m),
	}
	return info, o, info.fits(o.MemoryBytes)
}

// maxPages keeps every slot an int32.
const maxPages = (1<<31 - 1) / kernels.PageTokens

// fits returns ErrMemory with the sums where i needs more than the given bytes, or,
// where they are 0, than the host has available.
func (i *Info) fits(available int64) error {
	if available == 0 {
		available = AvailableMemory()
	}
	need := i.WeightBytes + i.KVBytes + i.ScratchBytes
	if available <= 0 || need <= available {
		return nil
	}
	return fmt.Errorf("weights %s + KV cache %s (%d tokens) + scratch %s = %s, and %s are available: "+
		"shorten the context or run fewer sequences: %w", size(i.WeightBytes), size(i.KVBytes),
		i.KVPages*kernels.PageTokens, size(i.ScratchBytes), size(need), size(available), ErrMemory)
}

// size spells a number of bytes.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
