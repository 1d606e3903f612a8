package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// filled returns how many tokens' K and V a cache of so many bytes holds: prompts of a page
// fill it, and at the end the first of them is still there.
func filled(t *testing.T, o convert.Options, headDim int, bytes int64) (tokens int64) {
	t.Helper()
	c := format.Config{
		HiddenSize: 64, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: headDim,
		VocabSize: 300, MaxPositionEmbeddings: 2 * kvcache.PageTokens, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}
	path := filepath.Join(t.TempDir(), "random.qat")
	if err := convert.Synth(context.Background(), c, path, o); err != nil {
		t.Fatal(err)
	}
	e := realEngine(t, opened(t, path), "", 2, Options{KVBytes: bytes})
	ask := func(i int) int {
		r := Request{IDs: make([]int32, kvcache.PageTokens), MaxTokens: 1, Logprobs: -1}
		for j := range r.IDs {
			r.IDs[j] = int32([...]int{i % 300, i / 300}[min(j, 1)])
		}
		_, _, done := collect(t, generate(t, e, context.Background(), r))
		return done.Cached
	}
	pages := e.Info().KVPages
	for i := range pages {
		if n := ask(i); n > 0 {
			t.Fatalf("%d tokens of prompt %d were there already", n, i)
		}
	}
	// The last answer comes before the counts of its step.
	for deadline := time.Now().Add(time.Minute); e.Stats().CachedPages != pages; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d pages are in use", e.Stats().CachedPages, pages)
		}
	}
	if n := ask(0); n != kvcache.PageTokens-1 {
		t.Fatalf("%d tokens of the first prompt are still there, want all but the last", n)
	}
	return int64(pages) * kvcache.PageTokens
}

// In the same memory 4-bit pages hold 3.5 times the tokens of 16-bit ones with heads of
// 64, and 3.7 times with heads of 128: 4 bits, and two float16 a head.
func TestTokensInTheSameMemory(t *testing.T) {
	for _, c := range []struct {
		headDim int
		times   float64
	}{{64, 3.5}, {128, 3.7}} {
		t.Run(fmt.Sprintf("head=%d", c.headDim), func(t *testing.T) {
			const bytes = 4 << 20
			kv16 := filled(t, options(t, "4-8-16", "", qat.Float16), c.headDim, bytes)
			kv4 := filled(t, options(t, "4-8-4", quant.KVHeadZP, qat.Float16), c.headDim, bytes)
			if ratio := float64(kv4) / float64(kv16); ratio < c.times {
				t.Errorf("%d tokens in %d bytes with 4 bits, %d with 16: %.2f times, want %.1f", kv4, bytes, kv16, ratio, c.times)
			} else {
				t.Logf("%d tokens in %d bytes with 4 bits, %d with 16: %.2f times", kv4, bytes, kv16, ratio)
			}
		})
	}
}
