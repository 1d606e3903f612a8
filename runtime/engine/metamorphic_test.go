package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/sample"
)

// way is one of the ways to run the same requests.
type way struct {
	name     string
	isa      string
	threads  int
	together bool // all at once, else one after another
	pages    int  // of the cache; 0: as many as the engine likes
	o        Options
	preempts bool
}

var ways = []way{
	{name: "generic, batched", isa: "generic", threads: 3, together: true},
	{name: "alone", threads: 1},
	{name: "batched", threads: 2, together: true},
	{name: "avx2", isa: "avx2", threads: 2, together: true},
	{name: "chunked", threads: 3, together: true, o: Options{MaxSeqs: 3, Budget: 17, Chunk: 5}},
	{name: "preempted", threads: 2, together: true, pages: 4, o: Options{MaxContext: 240, MaxSeqs: 5, Budget: 64, MaxQueueTokens: 1 << 20}, preempts: true},
	{name: "preempted, chunked", threads: 1, together: true, pages: 5, o: Options{MaxContext: 240, MaxSeqs: 4, Budget: 9, Chunk: 7, MaxQueueTokens: 1 << 20}, preempts: true},
}

// conversation returns requests of all kinds, some of which begin as others do. A third of
// the answers grow by pages.
func conversation(r *rand.Rand, n int) (requests []Request) {
	for i := range n {
		q := Request{MaxTokens: 5 + r.IntN(60), Logprobs: i % 3, IgnoreEOS: true}
		if i > 0 && r.IntN(2) == 0 {
			ids := requests[r.IntN(i)].IDs
			q.IDs = slices.Clone(ids[:1+r.IntN(len(ids))])
		}
		for len(q.IDs) == 0 || len(q.IDs) < 160 && r.IntN(60) > 0 {
			q.IDs = append(q.IDs, int32(r.IntN(300)))
		}
		switch i % 3 {
		case 0:
			q.MaxTokens = 240 - len(q.IDs)
		case 2:
			q.LogprobsFrom = r.IntN(1 + len(q.IDs))
			if q.LogprobsFrom > 0 && r.IntN(2) == 0 {
				q.MaxTokens = 0
			}
		}
		if r.IntN(2) == 0 {
			q.Sampling = sample.Params{Temperature: 1, TopP: 0.9, Seed: uint64(i), RepetitionPenalty: 1.1}
		}
		requests = append(requests, q)
	}
	return requests
}

// Alone or together, in small steps or large, preempted, or with prompts that others
// have computed before, on any instruction set, with any number of threads: a request's
// tokens and logprobs are the same to the bit, and so is the logprob of a prompt's token
// whether or not those of the tokens before it are wanted. LLMQAT_LONG is the number of sets of
// requests of the 4-8-4 model.
func TestSameTokensEverywhere(t *testing.T) {
	settings := []convert.Options{
		options(t, "4-8-4", quant.KVHeadZP, ""), options(t, "8-8-8", quant.KVHead, ""), options(t, "16-16-16", "", qat.Float16),
		options(t, "4-8-4", quant.KVToken, ""), options(t, "4-16-8", quant.KVHeadZP, ""), options(t, "16-16-16", "", qat.Float32),
	}
	requests := 9
	if testing.Short() {
		settings, requests = settings[:3], 6
	}
	for i, o := range settings {
		n := 1
		if i == 0 {
			n = long.Rounds(t, 1, 1)
		}
		t.Run(fmt.Sprintf("%v/%s/%s", o.Bits, o.KVScheme, o.Float), func(t *testing.T) {
			f := random(t, o)
			preempted := int64(0)
			for set := range n {
				t.Run(fmt.Sprint("set=", set), func(t *testing.T) { preempted += everywhere(t, f, uint64(set), requests) })
			}
			if preempted == 0 {
				t.Error("nothing was ever preempted")
			}
		})
	}
}

// unshared answers each request by the definition, alone, and with all of its prompt computed: in short runs by the
// best loops, as the race detector makes the generic ones slow.
func unshared(t *testing.T, f *qat.File, requests []Request) (want []answer) {
	isa := "generic"
	if testing.Short() {
		isa = ""
	}
	e := realEngine(t, f, isa, 1, Options{})
	defer e.Close()
	for i, r := range requests {
		r.LogprobsFrom, r.CacheSalt = min(1, r.LogprobsFrom), fmt.Sprint(i)
		a := answers(t, e, []Request{r}, false)[0]
		if from := requests[i].LogprobsFrom; from > 0 {
			a.Prompt = a.Prompt[from-1:]
		}
		want = append(want, a)
	}
	if n := e.Stats().CachedTokens; n > 0 {
		t.Fatalf("%d tokens were shared by what must share none", n)
	}
	return want
}

// everywhere runs a set of n requests in all ways, and returns how often one was preempted.
func everywhere(t *testing.T, f *qat.File, seed uint64, n int) (preempted int64) {
	requests := conversation(rand.New(rand.NewPCG(5, seed)), n)
	want := unshared(t, f, requests)
	for _, w := range ways {
		if w.isa != "" && (!slices.Contains(cpu.ISAs(), w.isa) || testing.Short()) {
			continue
		}
		if w.pages > 0 {
			h := f.Header()
			w.o.KVBytes = int64(w.pages) * kvcache.PageBytes(&h.Config, h.Quantization.KV())
		}
		e := realEngine(t, f, w.isa, w.threads, w.o)
		for _, again := range []bool{false, true} { // the second time prompts are in the cache
			if again && !w.together {
				continue
			}
			before := e.Stats()
			got := answers(t, e, requests, w.together)
			for i := range want {
				if d := cmp.Diff(want[i], got[i], cmp.Comparer(sameBits)); d != "" {
					t.Fatalf("seed %d, %s, again %v: request %d (-want +got):\n%s", seed, w.name, again, i, d)
				}
			}
			idle(t, e)
			if s := e.Stats(); again && w.pages == 0 && s.CachedTokens == before.CachedTokens {
				t.Errorf("seed %d, %s: nothing was shared the second time", seed, w.name)
			}
		}
		if w.preempts {
			preempted += e.Stats().Preempted
		}
		e.Close()
	}
	return preempted
}
