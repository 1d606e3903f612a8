package engine

import (
	"errors"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// ErrMemory means that a model with its cache does not fit.
var ErrMemory = errors.New("not enough memory")

// moderate is the context for which every sequence has room by default; longer
// ones share.
const moderate = 1024

// cpuChunk is few enough tokens for answers that wait: beside 16 of a model of a billion
// parameters on two cores they get their next token after 0.19 s (95 of 100; after 0.44 s
// beside 128 tokens), at 93 % of the throughput.
const cpuChunk = 32

func modelOptions(o Options) model.Options {
	return model.Options{MaxTokens: o.Budget, MaxSeqs: o.MaxSeqs, MaxContext: o.MaxContext, Progress: o.Progress}
}

// Plan says what New would take for the model in f, without taking it; what does not fit is refused with the sums.
func Plan(f *qat.File, o Options) (Info, error) {
	info, _, err := plan(f, o)
	if err != nil {
		return info, fmt.Errorf("%s: %w", f.Path(), err)
	}
	return info, nil
}

// Foresee says what New would take for a model that is not there, of which h says all, whatever room there
// is; of a device with memory of its own, without what its operators take for themselves.
func Foresee(h *qat.Header, o Options) (Info, error) {
	o.MemoryBytes = math.MaxInt64
	info, _, err := planOf(h, h.DataBytes(), o, func(model.Options) (int64, error) { return 0, nil })
	return info, err
}

// plan fills in o's defaults and says what the engine will take, before it is taken.
func plan(f *qat.File, o Options) (Info, Options, error) {
	return planOf(f.Header(), int64(len(f.Bytes())), o, func(m model.Options) (int64, error) { return model.DeviceScratch(o.Device, f, m) })
}

func planOf(h *qat.Header, weights int64, o Options, deviceScratch func(model.Options) (int64, error)) (Info, Options, error) {
	if o.Device == nil {
		return Info{}, o, errors.New("engine: no device")
	}
	if o.Budget == 0 {
		o.Budget = 512
	}
	if o.MaxSeqs == 0 {
		o.MaxSeqs = min(32, o.Budget)
	}
	if o.Chunk == 0 {
		o.Chunk = o.Budget
		if _, own := o.Device.(kernels.OwnMemory); !own {
			o.Chunk = min(o.Chunk, cpuChunk)
		}
	}
	if o.Chunk < 1 || o.Chunk > o.Budget {
		return Info{}, o, fmt.Errorf("%d tokens of prompts beside answers; want 1 to the %d tokens of a step", o.Chunk, o.Budget)
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 256
	}
	if o.Threads == 0 {
		o.Threads = threads(o.Device)
	}
	m, err := modelOptions(o).Resolve(&h.Config)
	if err != nil {
		return Info{}, o, err
	}
	o.MaxContext = m.MaxContext

	info := Info{
		Device: o.Device.Name(), Bits: h.Quantization.Bits, KVScheme: h.Quantization.KVScheme,
		Parameters: h.Config.Parameters(), VocabSize: h.Config.VocabSize,
		MaxContext: o.MaxContext, MaxSeqs: o.MaxSeqs, Budget: o.Budget,
		WeightBytes: weights,
	}
	scratch, err := deviceScratch(m)
	if err != nil {
		return Info{}, o, err
	}
	info.ScratchBytes = scratch + model.ScratchBytes(h, m)
	room, err := roomOn(o.Device, o.MemoryBytes)
	if err != nil {
		return Info{}, o, err
	}

	page := kvcache.PageBytes(&h.Config, h.Quantization.KV())
	least := int64(kvcache.Count(o.MaxContext))
	pages := o.KVBytes / page
	switch most := int64(o.MaxSeqs) * least; {
	case o.KVBytes != 0:
	case room.own:
		pages = max(least, min(most, maxPages, (room.bytes-info.WeightBytes-info.ScratchBytes)/page))
	default:
		pages = max(least, int64(o.MaxSeqs)*int64(kvcache.Count(min(o.MaxContext, moderate))))
	}
	if pages < least {
		return Info{}, o, fmt.Errorf("a KV cache of %s holds %d tokens, one sequence of the whole context of %d needs %s: "+
			"give it more, or shorten the context: %w", Size(o.KVBytes), pages*kernels.PageTokens, o.MaxContext, Size(least*page), ErrMemory)
	}
	if pages > maxPages {
		return Info{}, o, fmt.Errorf("a KV cache of %d pages; at most %d can be numbered: %w", pages, maxPages, ErrMemory)
	}
	if o.MaxQueueTokens == 0 {
		o.MaxQueueTokens = 4 * pages * kernels.PageTokens
	}
	info.KVPages, info.KVBytes = int(pages), pages*page
	return info, o, info.fits(room)
}

// maxPages keeps every slot an int32.
const maxPages = (1<<31 - 1) / kernels.PageTokens

// fits returns ErrMemory with the sums where i needs more than there is room for.
func (i *Info) fits(r room) error {
	need := i.Bytes()
	if r.bytes < 0 || need <= r.bytes {
		return nil
	}
	return fmt.Errorf("weights %s + KV cache %s (%d tokens) + scratch %s = %s, and %s are available%s: "+
		"shorten the context, run fewer sequences, or take a smaller model or another device: %w", Size(i.WeightBytes), Size(i.KVBytes),
		i.KVTokens(), Size(i.ScratchBytes), Size(need), Size(r.bytes), r.told, ErrMemory)
}

// Size spells a number of bytes, in decimal units.
func Size(n int64) string {
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
