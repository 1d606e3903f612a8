package model

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// noise is a source of random weights.
type noise struct{ c format.Config }

func (s noise) Config() *format.Config          { return &s.c }
func (s noise) ChatTemplate() string            { return "" }
func (s noise) Tokenizer() *tokenizer.Tokenizer { return nil }
func (s noise) DType(string) format.DType       { return format.F32 }
func (s noise) Close() error                    { return nil }
func (s noise) ReadRows(dst []float32, name string, first int) error {
	cols := len(dst)
	for _, t := range s.c.Tensors() {
		if t.Name == name && t.In > 0 {
			cols = t.In
		}
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	for i := 0; i < len(dst); i += cols {
		r := rand.New(rand.NewPCG(h.Sum64(), uint64(first+i/cols)))
		for j := range cols {
			dst[i+j] = float32(r.NormFloat64() / math.Sqrt(float64(cols)))
			if strings.Contains(name, "norm") {
				dst[i+j] = 1 + dst[i+j]
			} else if name == format.EmbedName {
				dst[i+j] *= 3
			}
		}
	}
	return nil
}

// small has no size that is a multiple of 64, three queries to a key, and RoPE
// scaled so that some pairs are kept, some blended and some divided.
func small() format.Config {
	return format.Config{
		HiddenSize: 72, IntermediateSize: 100, NumHiddenLayers: 3, NumAttentionHeads: 6, NumKeyValueHeads: 2, HeadDim: 16,
		VocabSize: 150, MaxPositionEmbeddings: 400, RMSNormEps: 1e-5, RopeTheta: 10000,
		RopeScaling: &format.RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositionEmbeddings: 128},
		BOSTokenID:  1, EOSTokenIDs: []int{2},
	}
}

// load converts src and loads it with a cache of its own.
func load(t *testing.T, src format.Source, o convert.Options, isa string, workers int, options Options) (*Model, *qat.File, []kernels.KVCache) {
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
	dev, err := cpu.New(workers, isa)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	m, err := Load(dev, f, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	h := f.Header()
	pool, err := kvcache.NewPool(dev, &h.Config, h.Quantization.KV(), 12)
	if err != nil {
		t.Fatal(err)
	}
	return m, f, pool.Layers
}

// all runs ids as one sequence in passes of the given sizes, the last one repeated,
// and returns the logits of every token.
func all(t *testing.T, m *Model, kv []kernels.KVCache, ids []int32, passes ...int) [][]float32 {
	t.Helper()
	pages := []int32{7, 2, 11, 5, 0, 3, 9, 1, 10, 4} // any order will do
	var out [][]float32
	for at := 0; at < len(ids); {
		n := min(passes[0], len(ids)-at)
		if len(passes) > 1 {
			passes = passes[1:]
		}
		rows := make([]int32, n)
		for i := range rows {
			rows[i] = int32(i)
		}
		m.Forward([]Run{{ids[at : at+n], at, pages}}, rows, nil, kv)
		if err := m.Logits(func(i int, logits []float32) { out = append(out, slices.Clone(logits)) }); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	return out
}

// difference compares two series of logits as distributions: the largest |Δ log p|,
// the mean KL divergence from want in nats, and how often the best token differs.
func difference(want [][]float64, got [][]float32) (worst, kl, flips float64) {
	for i := range want {
		p := softmax(want[i])
		wide := make([]float64, len(got[i]))
		for j, v := range got[i] {
			wide[j] = float64(v)
		}
		q := softmax(wide)
		bestP, bestQ := 0, 0
		for j := range p {
			d := math.Log(p[j]) - math.Log(q[j])
			worst = max(worst, math.Abs(d))
			kl += p[j] * d
			if p[j] > p[bestP] {
				bestP = j
			}
			if q[j] > q[bestQ] {
				bestQ = j
			}
		}
		if bestP != bestQ {
			flips++
		}
	}
	n := float64(len(want))
	return worst, kl / n, flips / n
}

func settings() (list []convert.Options) {
	for _, s := range []struct {
		bits   string
		scheme quant.KVScheme
		float  string
		lmHead int
	}{
		{"16-16-16", "", qat.Float32, 0},
		{"16-16-16", "", qat.Float16, 0},
		{"4-16-16", "", qat.Float32, 16},
		{"8-16-16", "", qat.Float32, 8},
		{"16-16-8", quant.KVToken, qat.Float32, 0},
		{"16-16-8", quant.KVHead, qat.Float32, 0},
		{"16-16-8", quant.KVHeadZP, qat.Float32, 0},
		{"8-8-8", quant.KVHeadZP, qat.Float16, 0},
		{"4-8-16", "", qat.Float16, 0},
		{"4-8-4", quant.KVToken, qat.Float16, 0},
		{"4-8-4", quant.KVHead, qat.Float32, 16},
		{"4-8-4", quant.KVHeadZP, qat.Float16, 0},
		{"4-6-4", quant.KVHeadZP, qat.BFloat16, 0},
	} {
		bits, err := quant.ParseBits(s.bits)
		if err != nil {
			panic(err)
		}
		list = append(list, convert.Options{Bits: bits, KVScheme: s.scheme, Float: s.float, LMHeadBits: s.lmHead})
	}
	return list
}

func name(o convert.Options) string {
	return fmt.Sprintf("%v/%s/%s/head=%d", o.Bits, o.KVScheme, o.Float, o.LMHeadBits)
}

// The runtime agrees with the reference, whatever the formats. Where nothing that
// depends on the input is rounded to integers, log-probabilities differ by the
// float32 sums alone, n·ε each over a few layers. Elsewhere such a difference
// flips a rounding now and then, by design of so few bits, and each flip moves what
// follows by up to a step: there the distributions must agree on average. A wrong
// scale, zero point, rotation or head costs more than 0.3 nats.
func TestAgreesWithReference(t *testing.T) {
	src := noise{small()}
	ids := make([]int32, 200)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range ids {
		ids[i] = int32(r.IntN(src.c.VocabSize))
	}
	for _, o := range settings() {
		if o.Float == qat.BFloat16 {
			continue // the reference does not know it
		}
		t.Run(name(o), func(t *testing.T) {
			agree(t, src, o, ids)
		})
	}
}

func agree(t *testing.T, src format.Source, o convert.Options, ids []int32) {
	m, f, kv := load(t, src, o, "", 2, Options{MaxTokens: 70})
	want := newReference(t, src, f.Header().Quantization).logits(ids)
	worst, kl, flips := difference(want, all(t, m, kv, ids, 70, 64, 1, 1, 3))
	t.Logf("worst |Δ log p| %.2g, mean KL %.2g nats, best token differs in %.1f %%", worst, kl, 100*flips)
	q := f.Header().Quantization
	limit := 0.005
	switch {
	case q.Bits.A == 16 && q.KV().Bits == 32:
		if worst > 1e-3 {
			t.Errorf("log-probabilities differ by up to %.2g, want at most 0.001", worst)
		}
	case q.KV().Bits == 4:
		limit = 0.03
	}
	if kl > limit {
		t.Errorf("mean KL %.2g nats, want at most %v", kl, limit)
	}
}

func testData(t *testing.T, path string) string {
	t.Helper()
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no trained models")
	}
	return filepath.Join(dir, path)
}

// The same of a trained model on real text.
func TestStoriesAgreesWithReference(t *testing.T) {
	src, err := hf.Open(testData(t, "hf/stories260K"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	text, err := os.ReadFile(testData(t, "text/tinystories.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids := append([]int32{src.Tokenizer().BOS()}, src.Tokenizer().Encode(string(text[:2000]))...)[:300]
	for _, o := range settings() {
		if o.Float != qat.BFloat16 {
			t.Run(name(o), func(t *testing.T) { agree(t, src, o, ids) })
		}
	}
}

// However a sequence is cut into passes, on any instruction set and any number of
// threads, with or without others: the same bits.
func TestSameBitsEverywhere(t *testing.T) {
	src := noise{small()}
	ids := make([]int32, 140)
	r := rand.New(rand.NewPCG(2, 2))
	for i := range ids {
		ids[i] = int32(r.IntN(src.c.VocabSize))
	}
	settings := settings()
	if testing.Short() { // every other setting, a bit more than a page
		ids = ids[:75]
		for i := range len(settings) / 2 {
			settings[i] = settings[2*i+1]
		}
		settings = settings[:len(settings)/2]
	}
	for _, o := range settings {
		t.Run(name(o), func(t *testing.T) {
			m, _, kv := load(t, src, o, "generic", 1, Options{MaxTokens: 140})
			want := all(t, m, kv, ids, 140)
			for _, isa := range cpu.ISAs() {
				for _, workers := range []int{1, 3} {
					if testing.Short() && workers == 1 && isa == "generic" {
						continue // it is what the others are compared with
					}
					m, _, kv := load(t, src, o, isa, workers, Options{MaxTokens: 64})
					same(t, fmt.Sprintf("%s, %d threads", isa, workers), want, all(t, m, kv, ids, 64, 1, 5, 33))
				}
			}
			m, _, kv = load(t, src, o, "", 2, Options{MaxTokens: 30})
			same(t, "beside another sequence", want, beside(t, m, kv, ids))
		})
	}
}

// beside runs ids in one page after another, a longer sequence's tokens around it.
func beside(t *testing.T, m *Model, kv []kernels.KVCache, ids []int32) (out [][]float32) {
	t.Helper()
	other := slices.Repeat([]int32{5, 6, 7, 8}, 60)
	for at, n := 0, 0; at < len(ids); at += n {
		n = min(1+at%9, len(ids)-at)
		rows := make([]int32, n)
		for i := range rows {
			rows[i] = int32(1 + i)
		}
		m.Forward([]Run{
			{other[at : at+1], at, []int32{3, 4, 5}},
			{ids[at : at+n], at, []int32{0, 1, 2}},
			{other[:10], 0, []int32{6}},
		}, rows, nil, kv)
		if err := m.Logits(func(i int, logits []float32) { out = append(out, slices.Clone(logits)) }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Any rows, in any order, give the logits that they give among all.
func TestRows(t *testing.T) {
	ids := []int32{1, 5, 9, 2, 7, 7, 3, 11}
	for _, o := range settings() {
		m, _, kv := load(t, noise{small()}, o, "", 2, Options{})
		want := all(t, m, kv, ids, len(ids))
		for _, rows := range [][]int32{{7}, {0, 7}, {3, 1, 6}, {2, 2}, {}} {
			m.Forward([]Run{{ids, 0, []int32{0}}}, rows, nil, kv)
			var got [][]float32
			if err := m.Logits(func(i int, logits []float32) { got = append(got, slices.Clone(logits)) }); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(rows) {
				t.Fatalf("%s: %d logits of rows %v", name(o), len(got), rows)
			}
			for i, r := range rows {
				same(t, fmt.Sprintf("%s, rows %v", name(o), rows), want[r:r+1], got[i:i+1])
			}
		}
	}
}

func same(t *testing.T, what string, want, got [][]float32) {
	t.Helper()
	for i := range want {
		for j := range want[i] {
			if math.Float32bits(want[i][j]) != math.Float32bits(got[i][j]) {
				t.Errorf("%s: logit %d after token %d is %v, want %v to the bit", what, j, i, got[i][j], want[i][j])
				return
			}
		}
	}
}

// What Load takes is what ScratchBytes says beforehand.
func TestScratchBytes(t *testing.T) {
	for _, o := range settings() {
		m, f, _ := load(t, noise{small()}, o, "", 1, Options{})
		if r, err := (Options{}).Resolve(&f.Header().Config); err != nil || m.arena.bytes != ScratchBytes(f.Header(), r) {
			t.Errorf("%s: Load took %d bytes, ScratchBytes says %d (%v)", name(o), m.arena.bytes, ScratchBytes(f.Header(), r), err)
		}
	}
}

// A decode batch's logits are computed at once, within bounds.
func TestLogitRows(t *testing.T) {
	for _, c := range []struct{ vocab, maxTokens, maxSeqs, want int }{
		{32_000, 512, 16, 32}, {32_000, 8, 8, 8}, {32_000, 512, 64, 64}, {128_256, 512, 256, 130}, {1 << 20, 512, 64, 32},
	} {
		h := &qat.Header{Config: small(), Quantization: qat.Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP, Float: qat.Float16, LMHeadBits: 8}}
		h.Config.VocabSize = c.vocab
		s, err := newScratch(nowhere{}, h, Options{MaxTokens: c.maxTokens, MaxSeqs: c.maxSeqs})
		if err != nil || s.logits.Rows != c.want {
			t.Errorf("%+v: %d rows, %v", c, s.logits.Rows, err)
		}
	}
}

// Beside the file and the cache, a 1.1B model takes less than 100 MB.
func TestScratchOfTinyLlama(t *testing.T) {
	c, err := convert.Shape("tinyllama-1.1b")
	if err != nil {
		t.Fatal(err)
	}
	for _, bits := range []quant.Bits{{W: 4, A: 8, KV: 4}, {W: 16, A: 16, KV: 16}} {
		h := &qat.Header{Config: c, Quantization: qat.Quantization{Bits: bits, KVScheme: quant.KVHeadZP, Float: qat.Float16, LMHeadBits: 8}}
		o, err := Options{}.Resolve(&c)
		if err != nil {
			t.Fatal(err)
		}
		if n := ScratchBytes(h, o); n > 70e6 {
			t.Errorf("%v: %d bytes of scratch, want at most 70 MB", bits, n)
		}
	}
}

// A value that no number format holds is the device's error, once.
func TestNotFinite(t *testing.T) {
	c := small()
	c.RMSNormEps = 0 // a row of zeros then has no norm
	src := zeros{noise{c}}
	bits := quant.Bits{W: 4, A: 8, KV: 4}
	m, _, kv := load(t, src, convert.Options{Bits: bits}, "", 1, Options{})
	m.Forward([]Run{{[]int32{1}, 0, []int32{0}}}, []int32{0}, nil, kv)
	if err := m.Logits(func(int, []float32) {}); err == nil || !strings.Contains(err.Error(), "cpu/") {
		t.Errorf("0/0 in a norm: %v, want an error that names the device", err)
	}
	if err := m.Sync(); err != nil {
		t.Errorf("the error came again: %v", err)
	}
}

// zeros has an embedding of zeros.
type zeros struct{ noise }

func (s zeros) ReadRows(dst []float32, name string, first int) error {
	if name == format.EmbedName {
		clear(dst)
		return nil
	}
	return s.noise.ReadRows(dst, name, first)
}

func TestMisusePanics(t *testing.T) {
	m, _, kv := load(t, noise{small()}, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}}, "", 1, Options{MaxTokens: 8, MaxSeqs: 2, MaxContext: 100})
	ok := Run{[]int32{1}, 0, []int32{0}}
	for what, runs := range map[string][]Run{
		"no run":            {},
		"too many runs":     {ok, ok, ok},
		"too many tokens":   {{make([]int32, 9), 0, []int32{0}}},
		"no tokens":         {{nil, 0, []int32{0}}},
		"past the context":  {{[]int32{1}, 100, []int32{0, 1}}},
		"too few pages":     {{[]int32{1}, 64, []int32{0}}},
		"negative position": {{[]int32{1}, -1, []int32{0}}},
		"unknown token":     {{[]int32{150}, 0, []int32{0}}},
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "model:") {
					t.Errorf("panic %v, want one of package model", v)
				}
			}()
			m.Forward(runs, nil, nil, kv)
		})
	}
}

func TestOptions(t *testing.T) {
	c := small()
	for _, o := range []Options{{MaxContext: 401}, {MaxContext: -1}, {MaxTokens: -1}, {MaxTokens: 1 << 20}, {MaxSeqs: -1}, {MaxTokens: 4, MaxSeqs: 5}} {
		if _, err := o.Resolve(&c); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if o, err := (Options{}).Resolve(&c); err != nil || o.MaxTokens != 512 || o.MaxSeqs != 16 || o.MaxContext != 400 {
		t.Errorf("defaults are %+v, %v", o, err)
	}
}

// A decode step with its logits allocates nothing.
func TestStepAllocatesNothing(t *testing.T) {
	for _, o := range settings() {
		m, _, kv := load(t, noise{small()}, o, "", 2, Options{})
		runs := []Run{{[]int32{5}, 70, []int32{3, 1}}, {[]int32{6}, 0, []int32{2}}}
		rows := []int32{0, 1}
		yield := func(int, []float32) {}
		n := testing.AllocsPerRun(20, func() {
			m.Forward(runs, rows, nil, kv)
			if err := m.Logits(yield); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a step", name(o), n)
		}
	}
}
