package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/llama2c"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/kerneltest"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/sample"
)

func options(t *testing.T, bits string, scheme quant.KVScheme, float string) convert.Options {
	t.Helper()
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	return convert.Options{Bits: b, KVScheme: scheme, Float: float, Seed: 1}
}

// random returns a .qat file of random weights. No size is a multiple of 64.
func random(t *testing.T, o convert.Options) *qat.File {
	t.Helper()
	c := format.Config{
		HiddenSize: 80, IntermediateSize: 120, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 24,
		VocabSize: 300, MaxPositionEmbeddings: 500, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}
	path := filepath.Join(t.TempDir(), "random.qat")
	if err := convert.Synth(context.Background(), c, path, o); err != nil {
		t.Fatal(err)
	}
	return opened(t, path)
}

func opened(t *testing.T, path string) *qat.File {
	t.Helper()
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// realEngine runs f on the CPU.
func realEngine(t *testing.T, f *qat.File, isa string, workers int, o Options) *Engine {
	t.Helper()
	dev, err := cpu.New(workers, isa)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	o.Device = dev
	e, err := New(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// answer is a request's whole answer.
type answer struct {
	Prompt, Tokens []Token
	Reason         FinishReason
}

func answers(t *testing.T, e *Engine, requests []Request, together bool) (out []answer) {
	t.Helper()
	var waiting []<-chan Event
	for _, r := range requests {
		waiting = append(waiting, generate(t, e, context.Background(), r))
		if !together {
			out = append(out, read(t, waiting[0]))
			waiting = nil
		}
	}
	for _, events := range waiting {
		out = append(out, read(t, events))
	}
	return out
}

func read(t *testing.T, events <-chan Event) answer {
	t.Helper()
	prompt, tokens, done := collect(t, events)
	if done.Err != nil {
		t.Fatal(done.Err)
	}
	return answer{prompt, tokens, done.Reason}
}

// A batch of requests of all kinds has the same tokens on a device that draws them.
func TestSameTokensWhereTheDeviceDraws(t *testing.T) {
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	f := random(t, options(t, "4-8-4", quant.KVHeadZP, ""))
	var requests []Request
	for i, p := range []sample.Params{
		{}, {Temperature: 0.7}, {Temperature: 1, TopK: 5}, {Temperature: 1, TopP: 0.8}, {Temperature: 1.5, MinP: 0.2},
		{Temperature: 1, TopK: 20, TopP: 0.9, MinP: 0.01}, {FrequencyPenalty: 1}, {Temperature: 1, LogitBias: map[int32]float32{7: 5}}, {},
	} {
		p.Seed = uint64(i)
		requests = append(requests, Request{IDs: []int32{1, int32(i)}, MaxTokens: 40, Logprobs: -1, IgnoreEOS: true, Sampling: p})
	}
	requests[8].Logprobs, requests[8].LogprobsFrom = 2, 1
	var got [2][]answer
	for i, dev := range []kernels.Device{dev, kerneltest.Drawing{Device: dev}} {
		e, err := New(f, Options{Device: dev})
		if err != nil {
			t.Fatal(err)
		}
		got[i] = answers(t, e, requests, true)
		e.Close()
	}
	if d := cmp.Diff(got[0], got[1], cmp.Comparer(sameBits)); d != "" {
		t.Errorf("the answers differ (-host +device):\n%s", d)
	}
}

// Tokens and logprobs are the same to the bit on every architecture. The hashes are
// recorded; they change with the definitions of the kernels, or with convert.Synth.
func TestSameBitsOnEveryArchitecture(t *testing.T) {
	for _, c := range []struct {
		o    convert.Options
		want uint64
	}{
		{options(t, "4-8-4", quant.KVHeadZP, ""), 0xd78c82c6234a84f9},
		{options(t, "4-8-4", quant.KVToken, ""), 0x5694a3cb6e25327e},
		{options(t, "16-16-16", "", qat.Float32), 0x37714b01ca824498},
	} {
		h := fnv.New64a()
		word := func(v uint32) { h.Write(binary.LittleEndian.AppendUint32(nil, v)) }
		r := Request{IDs: make([]int32, 100), MaxTokens: 100, LogprobsFrom: 1, IgnoreEOS: true, Sampling: sample.Params{Temperature: 1, TopP: 0.95, Seed: 9}}
		for i := range r.IDs {
			r.IDs[i] = int32(i*i) % 300
		}
		a := read(t, generate(t, realEngine(t, random(t, c.o), "", 0, Options{}), context.Background(), r))
		for _, x := range append(a.Prompt, a.Tokens...) {
			word(uint32(x.ID))
			word(math.Float32bits(x.Logprob))
		}
		if got := h.Sum64(); got != c.want {
			t.Errorf("%v %s: tokens and logprobs hash to %#x, recorded was %#x", c.o.Bits, c.o.KVScheme, got, c.want)
		}
	}
}

func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

func testData(t testing.TB, path string) string {
	t.Helper()
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no trained models")
	}
	return filepath.Join(dir, path)
}

func converted(t testing.TB, src format.Source, o convert.Options) *qat.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := convert.Quantize(context.Background(), src, path, o); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Greedy text is llama2.c's own, which stops at BOS.
func TestStoriesAreTold(t *testing.T) {
	for _, c := range []struct {
		golden string
		open   func() (format.Source, error)
	}{
		{"stories260K", func() (format.Source, error) { return hf.Open(testData(t, "hf/stories260K"), "") }},
		{"stories260K", func() (format.Source, error) {
			return llama2c.Open(testData(t, "models/stories260K.bin"), testData(t, "models/tok512.bin"))
		}},
		{"stories3M-fp32", func() (format.Source, error) {
			return llama2c.Open(testData(t, "models/stories3M-q80.bin"), testData(t, "models/tok4096.bin"))
		}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			want, err := os.ReadFile(testData(t, "golden/"+c.golden+".greedy256.txt"))
			if err != nil {
				t.Fatal(err)
			}
			src, err := c.open()
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			f := converted(t, src, options(t, "16-16-16", "", qat.Float32))
			tok := f.Header().Tokenizer
			e := realEngine(t, f, "", 2, Options{})
			var ids []int32
			for _, x := range read(t, generate(t, e, context.Background(), Request{IDs: []int32{tok.BOS()}, MaxTokens: 256, Logprobs: -1})).Tokens {
				ids = append(ids, x.ID)
			}
			if got := tok.Decode(ids) + "\n"; got != string(want) {
				t.Errorf("the story differs (-llama2.c +got):\n%s", cmp.Diff(string(want), got))
			}
		})
	}
}

// What does not fit is refused before it is taken, with the sums.
func TestMemoryPlan(t *testing.T) {
	f := random(t, options(t, "4-8-4", quant.KVHeadZP, ""))
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, c := range []struct {
		name string
		o    Options
		is   error
		says string
	}{
		{"no device", Options{}, nil, "no device"},
		{"context beyond the model's", Options{Device: dev, MaxContext: 501}, nil, "this model takes 1 to 500"},
		{"cache below one context", Options{Device: dev, KVBytes: 30_000}, ErrMemory, "one sequence of the whole context of 500 needs"},
		{"more than there is", Options{Device: dev, MemoryBytes: 1_000_000}, ErrMemory, "1000 kB are available"},
		{"absurd cache", Options{Device: dev, KVBytes: 1 << 60}, ErrMemory, "can be numbered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := New(f, c.o)
			if err == nil {
				e.Close()
				t.Fatal("accepted")
			}
			if _, same := Plan(f, c.o); same == nil || same.Error() != err.Error() {
				t.Errorf("planned: %v, want %v", same, err)
			}
			if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), f.Path()) {
				t.Errorf("error %q, want one that names the file and says %q", err, c.says)
			}
		})
	}
	e := realEngine(t, f, "", 1, Options{MaxSeqs: 2, MaxContext: 200})
	i := e.Info()
	if p, err := Plan(f, Options{Device: dev, MaxSeqs: 2, MaxContext: 200}); err != nil || p != i {
		t.Errorf("planned: %+v, %v, want %+v", p, err, i)
	}
	// 2 layers · 64 tokens · K and V · 2 heads · (12 bytes + scale and zero)
	if page := int64(2 * 64 * 2 * 2 * 16); i.KVPages != 2*4 || i.KVBytes != 8*page || i.MaxContext != 200 {
		t.Errorf("two sequences of 200 tokens: %d pages, %d bytes of cache, context %d; want 8, %d, 200", i.KVPages, i.KVBytes, i.MaxContext, 8*page)
	}
}

// An instruction set that this machine lacks is refused where the device was not
// made from it, too.
func TestUnknownISA(t *testing.T) {
	dev, err := cpu.New(1, "generic")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	t.Setenv("LLMQAT_ISA", "abacus")
	f := random(t, options(t, "4-8-4", quant.KVHeadZP, ""))
	if _, err := New(f, Options{Device: dev}); err == nil || !strings.Contains(err.Error(), "abacus") || !strings.Contains(err.Error(), f.Path()) {
		t.Errorf("error %v, want one that names the file and the instruction set", err)
	}
}

// A file that shrinks while it is mapped fails requests, not the process.
func TestTruncatedFile(t *testing.T) {
	f := random(t, options(t, "4-8-4", quant.KVHeadZP, ""))
	e := realEngine(t, f, "", 2, Options{})
	r := Request{IDs: []int32{1, 2, 3}, MaxTokens: 3, Logprobs: -1}
	read(t, generate(t, e, context.Background(), r))
	if err := os.Truncate(f.Path(), 4096); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, done := collect(t, generate(t, e, context.Background(), r)); done.Err == nil || !strings.Contains(done.Err.Error(), "memory fault") {
			t.Errorf("ended with %+v, want the device's memory fault", done)
		}
	}
	idle(t, e)
}

// BenchmarkStories measures whole requests of the smallest real model.
func BenchmarkStories(b *testing.B) {
	src, err := hf.Open(testData(b, "hf/stories260K"), "")
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	for _, bits := range []quant.Bits{{W: 16, A: 16, KV: 16}, {W: 4, A: 8, KV: 4}} {
		f := converted(b, src, convert.Options{Bits: bits})
		for _, together := range []int{1, 8} {
			b.Run(fmt.Sprintf("bits=%v/requests=%d", bits, together), func(b *testing.B) {
				dev, err := cpu.New(0, "")
				if err != nil {
					b.Fatal(err)
				}
				defer dev.Close()
				e, err := New(f, Options{Device: dev})
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close()
				tokens := 0
				for b.Loop() {
					var list []<-chan Event
					for range together {
						events, err := e.Generate(context.Background(), Request{IDs: []int32{1}, MaxTokens: 256, Logprobs: -1, IgnoreEOS: true})
						if err != nil {
							b.Fatal(err)
						}
						list = append(list, events)
					}
					for _, events := range list {
						for ev := range events {
							if ev.Kind == KindToken {
								tokens++
							}
						}
					}
				}
				b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tok/s")
			})
		}
	}
}
