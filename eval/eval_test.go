package eval

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
	"github.com/llmqat/llmqat/runtime/sample"
)

// noise is a model of random weights.
type noise struct{ c format.Config }

func (s noise) Config() *format.Config          { return &s.c }
func (s noise) ChatTemplate() string            { return "" }
func (s noise) Tokenizer() *tokenizer.Tokenizer { return nil }
func (s noise) DType(string) format.DType       { return format.F32 }
func (s noise) Close() error                    { return nil }
func (s noise) ReadRows(dst []float32, name string, first int) error {
	h := fnv.New64a()
	fmt.Fprint(h, name, first)
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	for i := range dst {
		dst[i] = float32(r.NormFloat64()) / 4
		if strings.Contains(name, "norm") {
			dst[i]++
		} else if name == format.EmbedName {
			dst[i] *= 4
		}
	}
	return nil
}

func tiny() format.Config {
	return format.Config{
		HiddenSize: 24, IntermediateSize: 36, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 6,
		VocabSize: 90, MaxPositionEmbeddings: 200, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1,
	}
}

// file is the tiny model of so many bits.
func file(t *testing.T, bits string, c format.Config) *qat.File {
	t.Helper()
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := convert.Quantize(context.Background(), noise{c}, path, convert.Options{Bits: b, Float: qat.Float32}); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func device(t *testing.T, threads int) *cpu.Device {
	t.Helper()
	d, err := cpu.New(threads, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// random returns windows of the given lengths.
func random(lengths ...int) (windows [][]int32) {
	r := rand.New(rand.NewPCG(8, 1))
	for _, n := range lengths {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = int32(r.IntN(90))
		}
		windows = append(windows, ids)
	}
	return windows
}

// logits are those of every token, each window in a pass of its own with new pages.
func logits(t *testing.T, f *qat.File, windows [][]int32) (all [][][]float32) {
	t.Helper()
	dev := device(t, 1)
	m, err := model.Load(dev, f, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, ids := range windows {
		pool, err := kvcache.NewPool(dev, &f.Header().Config, f.Header().Quantization.KV(), kvcache.Count(len(ids)))
		if err != nil {
			t.Fatal(err)
		}
		pages, rows := make([]int32, kvcache.Count(len(ids))), make([]int32, len(ids))
		for i := range pages {
			pages[i] = int32(i)
		}
		for i := range rows {
			rows[i] = int32(i)
		}
		var w [][]float32
		m.Forward([]model.Run{{Tokens: ids, Pages: pages}}, rows, nil, pool.Layers)
		if err := m.Logits(func(i int, logits []float32) { w = append(w, slices.Clone(logits)) }); err != nil {
			t.Fatal(err)
		}
		pool.Close()
		all = append(all, w)
	}
	return all
}

// probabilities is softmax by its definition.
func probabilities(logits []float32) []float64 {
	p, sum := make([]float64, len(logits)), 0.0
	for i, v := range logits {
		p[i] = math.Exp(float64(v))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// near allows for float64's rounding (1.1e-16) of sums of 500 tokens of 90 terms, which
// is below 5e-12 of what is summed.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-11*(1+math.Abs(b)) }

// Every number is the one that its formula gives, over the logits of windows run alone.
func TestCompareIsItsFormulas(t *testing.T) {
	student, teacher := file(t, "4-8-4", tiny()), file(t, "16-16-16", tiny())
	windows := random(2, 130, 17, 64, 200, 33)
	a, b := logits(t, student, windows), logits(t, teacher, windows)

	n := 0.0
	var nll, tnll, same, delta2 float64
	var kls []float64
	var means [][3]float64 // tokens, KL and nll of windows
	var deltas []float64   // Σ(Δp)² of windows
	for w, ids := range windows {
		window, before, beforeDelta := 0.0, nll, delta2
		for i, id := range ids[1:] {
			p, q := probabilities(a[w][i]), probabilities(b[w][i])
			kl, best, tbest := 0.0, 0, 0
			for j := range p {
				kl += q[j] * math.Log(q[j]/p[j])
				if p[j] > p[best] {
					best = j
				}
				if q[j] > q[tbest] {
					tbest = j
				}
			}
			n++
			nll -= math.Log(p[id])
			tnll -= math.Log(q[id])
			delta2 += (p[id] - q[id]) * (p[id] - q[id])
			if best == tbest {
				same++
			}
			kls = append(kls, kl)
			window += kl
		}
		means = append(means, [3]float64{float64(len(ids) - 1), window, nll - before})
		deltas = append(deltas, delta2-beforeDelta)
	}
	slices.Sort(kls)
	kl := 0.0
	for _, v := range kls {
		kl += v
	}
	// The standard error of a ratio of sums over 6 windows.
	se := func(mean float64, sum func(w int) float64) float64 {
		square := 0.0
		for w, m := range means {
			square += math.Pow(sum(w)-mean*m[0], 2)
		}
		return math.Sqrt(6*square/5) / n
	}
	beyond := 0 // of the 99 % value: 1 % of the tokens, rounded down

	got, err := Compare(context.Background(), device(t, 2), student, teacher, windows, Options{MaxTokens: 50})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range kls {
		if v > got.KL99+1e-12 {
			beyond++
		}
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"windows", float64(got.Windows), 6}, {"tokens", float64(got.Tokens), n},
		{"nll", got.NLL.Value, nll / n}, {"perplexity", got.Perplexity.Value, math.Exp(nll / n)},
		{"teacher's nll", got.TeacherNLL.Value, tnll / n}, {"teacher's perplexity", got.TeacherPerplexity.Value, math.Exp(tnll / n)},
		{"difference", got.DeltaNLL.Value, (nll - tnll) / n},
		{"KL", got.KL.Value, kl / n}, {"its error", got.KL.SE, se(kl/n, func(w int) float64 { return means[w][1] })},
		{"perplexity's error", got.Perplexity.SE, math.Exp(nll/n) * se(nll/n, func(w int) float64 { return means[w][2] })},
		{"Δp's error", got.RMSDeltaP.SE, se(delta2/n, func(w int) float64 { return deltas[w] }) / 2 / math.Sqrt(delta2/n)},
		{"largest KL", got.KLMax, kls[len(kls)-1]}, {"tokens beyond 99 %", float64(beyond), math.Floor(n / 100)},
		{"top 1", got.Top1.Value, same / n}, {"Δp", got.RMSDeltaP.Value, math.Sqrt(delta2 / n)},
		{"window's KL", got.Each[2].KL, means[2][1] / means[2][0]},
	} {
		if !near(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
	if got.KL.Value < 1e-3 || got.Top1.Value == 1 {
		t.Errorf("KL %v, top 1 %v: the models are too near to test anything", got.KL, got.Top1)
	}

	alone, err := Perplexity(context.Background(), device(t, 1), student, windows, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if alone.Comparison != nil || alone.NLL != got.NLL || alone.Perplexity != got.Perplexity {
		t.Errorf("without a teacher %+v, with it %+v", alone, got)
	}
}

// A model is its own equal.
func TestCompareWithItself(t *testing.T) {
	f := file(t, "4-8-4", tiny())
	r, err := Compare(context.Background(), device(t, 2), f, f, random(90, 40), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.KL != (Estimate{}) || r.KLMax != 0 || r.RMSDeltaP.Value != 0 || r.Top1 != (Estimate{Value: 1}) || r.NLL != r.TeacherNLL || r.DeltaNLL != (Estimate{}) {
		t.Errorf("compared with itself: %+v", *r.Comparison)
	}
}

// Neither the size of passes nor threads change a bit, of results or logits.
func TestPassesChangeNothing(t *testing.T) {
	student, teacher := file(t, "4-8-4", tiny()), file(t, "16-16-16", tiny())
	lengths := []int{200, 3, 64, 128}
	for range 40 { // more than a pass may have
		lengths = append(lengths, 2)
	}
	windows := random(lengths...)
	sum := sha256.New()
	for _, w := range logits(t, student, windows) {
		for _, row := range w {
			binary.Write(sum, binary.LittleEndian, row)
		}
	}
	want, err := Compare(context.Background(), device(t, 1), student, teacher, windows, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{MaxTokens: 1}, {MaxTokens: 7, Threads: 3}, {MaxTokens: 64}, {MaxTokens: 1000}} {
		dev := device(t, 2)
		got, err := Compare(context.Background(), dev, student, teacher, windows, o)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %+v, %v, want %+v", o, got, err, want)
		}
		if h, err := Hash(context.Background(), dev, student, windows, o); err != nil || h != fmt.Sprintf("%x", sum.Sum(nil)) {
			t.Errorf("%+v: hash %s, %v, want %x", o, h, err, sum.Sum(nil))
		}
		if h, err := HashScheduled(context.Background(), dev, student, windows, o); err != nil || h != fmt.Sprintf("%x", sum.Sum(nil)) {
			t.Errorf("%+v: hash in the scheduler's steps %s, %v, want %x", o, h, err, sum.Sum(nil))
		}
	}
}

// What is measured is what is served: the server's log-probabilities of a prompt are
// those of the logits here, exactly.
func TestLogitsAreTheServed(t *testing.T) {
	f, dev := file(t, "4-8-4", tiny()), device(t, 2)
	e, err := engine.New(f, engine.Options{Device: device(t, 2), Budget: 48})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	windows := random(150, 20, 64)
	w, err := sample.NewWork(90)
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]float32, len(windows))
	err = each(context.Background(), dev, windows, Options{MaxTokens: 33}, []*qat.File{f}, func(pass []piece, models []*served) error {
		row := 0
		for _, p := range pass {
			for at := p.from; at < p.to; at, row = at+1, row+1 {
				if ids := windows[p.window]; at+1 < len(ids) {
					v, _ := sample.Logprob(w, models[0].row(row), ids[at+1], 0)
					got[p.window] = append(got[p.window], v)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Perplexity(context.Background(), dev, f, windows, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, ids := range windows {
		events, err := e.Generate(context.Background(), engine.Request{IDs: ids, LogprobsFrom: 1})
		if err != nil {
			t.Fatal(err)
		}
		var prompt []engine.Token
		for ev := range events {
			if ev.Kind == engine.KindPrompt {
				prompt = ev.Prompt
			}
			if ev.Err != nil {
				t.Fatal(ev.Err)
			}
		}
		if len(prompt) != len(ids)-1 {
			t.Fatalf("%d log-probabilities of %d tokens", len(prompt), len(ids))
		}
		nll := 0.0
		for j, p := range prompt {
			if p.Logprob != got[i][j] {
				t.Fatalf("window %d, token %d: served %v, evaluated %v", i, j+1, p.Logprob, got[i][j])
			}
			nll -= float64(p.Logprob)
		}
		// The sampler's exp is float32's, of a few ulps (1.2e-7), so its ln of their sum is
		// as near; a log-probability below 16 rounds to float32 by 5e-7. 2e-6 is above both.
		if mean := nll / float64(len(prompt)); math.Abs(mean-r.Each[i].NLL) > 2e-6 {
			t.Errorf("window %d: served %v nats a token, evaluated %v", i, mean, r.Each[i].NLL)
		}
	}
}

func TestFails(t *testing.T) {
	f, dev := file(t, "4-8-4", tiny()), device(t, 1)
	other := tiny()
	other.VocabSize = 91
	larger := file(t, "16-16-16", other)
	for _, c := range []struct {
		teacher *qat.File
		windows [][]int32
		says    string
	}{
		{f, nil, "no windows"},
		{f, [][]int32{{1, 2}, {3}}, "window 1 has 1 tokens, want 2"},
		{f, [][]int32{{1, 90}}, "token 90 at 1, want ids 0 to 89"},
		{f, random(201), "this model takes 1 to 200"},
		{larger, random(20), "vocabulary of 90"},
	} {
		if _, err := Compare(context.Background(), dev, f, c.teacher, c.windows, Options{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("error %v, want one that says %q", err, c.says)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{MaxTokens: 10, Progress: func(done, total int64) {
		if cancel(); done != 10 || total != 100 {
			t.Errorf("%d of %d tokens done after the first pass, want 10 of 100", done, total)
		}
	}}
	if _, err := Perplexity(ctx, dev, f, random(100), o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Logits that are no numbers are an error that names their place, not a NaN for a result.
func TestMeasureRefusesNaN(t *testing.T) {
	inf := float32(math.Inf(1))
	good := []float32{1, 2, 3}
	for _, bad := range [][]float32{{1, float32(math.NaN()), 2}, {inf, 0, 0}, {0, 0, -inf}, {-inf, -inf, -inf}} {
		if _, ok := measure(bad, nil, 2); ok {
			t.Errorf("logits %v are taken", bad)
		}
		if _, ok := measure(good, bad, 2); ok {
			t.Errorf("teacher's logits %v are taken", bad)
		}
	}
	if m, _ := measure([]float32{0, 2, 2}, []float32{3, 4, 3}, 0); !m.same {
		t.Error("of equal logits the smallest id does not count as the likeliest")
	}
	if m, ok := measure([]float32{-1e4, 0, 1e4}, []float32{1e4, 0, -1e4}, 0); !ok || m.nll != 2e4 || m.teacherNLL != 0 || m.kl != 2e4 {
		t.Errorf("far apart: %+v, %v", m, ok)
	}
}
