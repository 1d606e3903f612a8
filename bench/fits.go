package bench

import (
	"fmt"
	"slices"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// modelOptions are those of every model that is loaded.
func (o *Options) modelOptions() model.Options {
	return model.Options{MaxTokens: o.Pass, MaxSeqs: slices.Max(o.Batches), MaxContext: o.longest()}
}

// pages are those of each sequence: of all to decode at every context, and of the first
// also for a prompt.
func (o *Options) pages() []int {
	list := slices.Repeat([]int{kvcache.Count(slices.Max(o.Contexts) + o.Decode)}, slices.Max(o.Batches))
	list[0] = kvcache.Count(o.longest())
	return list
}

// available is how much memory may still be taken; 0: unknown.
func (g *rig) available() (int64, error) {
	if own, ok := g.dev.(kernels.OwnMemory); ok {
		free, _, err := own.Available()
		return free, err
	}
	return engine.AvailableMemory(), nil
}

// fits returns an error with the sums where all files together are more than the memory
// that is free, before the system ends the process for it: their KV caches, and on a
// GPU also what a processor finds in the page cache.
func (o *Options) fits(files []file, g *rig) error {
	pages := 0
	for _, n := range o.pages() {
		pages += n
	}
	var weights, kv, scratch, deviceScratch int64
	for _, f := range files {
		q, err := qat.Open(f.path)
		if err != nil {
			return err
		}
		h := q.Header()
		kv += int64(pages) * kvcache.PageBytes(&h.Config, h.Quantization.KV())
		weights += int64(len(q.Bytes()))
		resolved, err := o.modelOptions().Resolve(&h.Config)
		var device int64
		if err == nil {
			scratch += model.ScratchBytes(h, resolved)
			device, err = model.DeviceScratch(g.dev, q, resolved)
		}
		deviceScratch = max(deviceScratch, device)
		q.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	scratch += deviceScratch
	free, err := g.available()
	seqs, context := slices.Max(o.Batches), slices.Max(o.Contexts)+o.Decode
	switch need := weights + kv + scratch + int64(g.readSize); {
	case err != nil || free <= 0:
		return err
	case g.threads == 0 && need > free:
		return fmt.Errorf("weights %s + KV caches of %d sequences of %d tokens %s + scratch %s + what the read bandwidth is measured on %s = %s, and %s of the GPU are free: "+
			"shorten --context, lower --batch or --pass, or --compare fewer settings at a time", size(weights), seqs, context, size(kv), size(scratch), size(int64(g.readSize)), size(need), size(free))
	case g.threads > 0 && kv > free:
		return fmt.Errorf("KV caches of %d sequences of %d tokens take %s, and %s are free: shorten --context, or lower --batch", seqs, context, size(kv), size(free))
	}
	return nil
}
