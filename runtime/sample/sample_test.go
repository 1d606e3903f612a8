package sample

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/kerneltest"
)

var (
	nan    = float32(math.NaN())
	inf    = float32(math.Inf(1))
	negInf = float32(math.Inf(-1))
)

func token(t *testing.T, p Params, logits ...float32) int32 {
	t.Helper()
	if err := p.Check(len(logits)); err != nil {
		t.Fatal(err)
	}
	id, err := New(p, len(logits), nil).Token(memory(t, len(logits)), logits)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGreedyTakesTheFirstLargest(t *testing.T) {
	for _, c := range []struct {
		want   int32
		logits []float32
	}{
		{0, []float32{1, 1, 1}},
		{1, []float32{0, 2, 2}},
		{2, []float32{nan, negInf, -5}},
		{1, []float32{3, inf, inf}},
		{0, []float32{-math.MaxFloat32, nan}},
	} {
		for _, p := range []Params{{}, {Temperature: 1, TopK: 1}, {Temperature: 1e-300, TopK: 1}, {Temperature: 1, TopP: 1e-9}} {
			if c.want == 0 && p.TopK != 1 && p.Temperature > 0 && c.logits[0] == c.logits[1] {
				continue
			}
			if got := token(t, p, c.logits...); got != c.want {
				t.Errorf("%+v of %v: token %d, want %d", p, c.logits, got, c.want)
			}
		}
	}
}

func TestNoToken(t *testing.T) {
	for _, logits := range [][]float32{{nan, nan}, {negInf, negInf}, {negInf, nan}} {
		for _, p := range []Params{{}, {Temperature: 1}} {
			if _, err := New(p, 2, nil).Token(memory(t, 2), logits); !errors.Is(err, ErrNoToken) {
				t.Errorf("%+v of %v: %v, want ErrNoToken", p, logits, err)
			}
		}
	}
	forbid := Params{LogitBias: map[int32]float32{0: negInf, 1: negInf}}
	if _, err := New(forbid, 2, nil).Token(memory(t, 2), []float32{1, 2}); !errors.Is(err, ErrNoToken) {
		t.Errorf("every token forbidden: %v, want ErrNoToken", err)
	}
}

// works returns the memory for a vocabulary on every instruction set of this machine.
func works(t interface{ Fatal(...any) }, vocab int) (list []*Work) {
	for _, isa := range cpu.ISAs() {
		loops, err := cpu.NewSampling(isa)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, newWork(vocab, loops))
	}
	return list
}

// memory returns the memory for a vocabulary on this machine's best.
func memory(t testing.TB, vocab int) *Work {
	t.Helper()
	w, err := NewWork(vocab)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sameDraws fails where five tokens are not those of the definition, or where a
// sampler does not go on after a device's draw as after its own.
func sameDraws(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, p Params, logits []float32) {
	for _, w := range works(t, len(logits)) {
		s, drew := New(p, len(logits), nil), New(p, len(logits), nil)
		for step := range uint64(5) {
			d, ok := drew.Draw()
			want := kerneltest.Draw(logits, d)
			wantErr := drew.Drew(want)
			got, err := s.Token(w, logits)
			if !ok || err != wantErr || err == nil && got != want {
				t.Fatalf("%+v, %d logits, step %d: token %d, %v, want %d, %v", p, len(logits), step, got, err, want, wantErr)
			}
		}
	}
}

func TestDrawIsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logits := rapid.SliceOfN(rapid.OneOf(
			rapid.Float32Range(-10, 10), rapid.SampledFrom([]float32{0, 1, 2, nan, negInf, inf, -1e30})), 1, 400).Draw(t, "logits")
		sameDraws(t, Params{
			Temperature: rapid.SampledFrom([]float64{0, 1e-9, 0.3, 1, 2, 50}).Draw(t, "temperature"),
			TopK:        rapid.SampledFrom([]int{0, 1, 2, 5, 59, 399}).Draw(t, "top_k"),
			TopP:        rapid.SampledFrom([]float64{0, 1e-9, 0.5, 0.9, 0.9999, 1}).Draw(t, "top_p"),
			MinP:        rapid.SampledFrom([]float64{0, 0.01, 0.5, 1}).Draw(t, "min_p"),
			Seed:        rapid.Uint64().Draw(t, "seed"),
		}, logits)
	})
}

// Logits of every shape, in vocabularies of many blocks and of few, with any cuts.
func TestDrawEdges(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, n := range []int{1, 2, 7, 8, 127, 128, 129, 1003} {
		rows := kerneltest.Logits(r, n)
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			t.Run(fmt.Sprintf("%s/n=%d", name, n), func(t *testing.T) {
				for range 40 {
					sameDraws(t, Params{
						Temperature: pick(r, 0, 1e-300, 1e-5, 0.7, 1, 100), TopK: pick(r, 0, 0, 1, 3, 8, 9, 40, n, n+1),
						TopP: pick(r, 0, 1e-20, 0.5, 0.95, 0.9999999999999999, 1), MinP: pick(r, 0, 0, 1e-300, 0.05, 1), Seed: r.Uint64(),
					}, rows[name])
				}
			})
		}
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// FuzzDraw holds every instruction set's draws to the definition.
func FuzzDraw(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x7f, 0, 0, 0x80, 0xff}, 1.0, 2, 0.9, 0.1, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, temperature float64, topK int, topP, minP float64, seed uint64) {
		p := Params{Temperature: temperature, TopK: topK, TopP: topP, MinP: minP, Seed: seed}
		logits := make([]float32, len(data)/4)
		for i := range logits {
			logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		if len(logits) == 0 || p.Check(len(logits)) != nil {
			t.Skip()
		}
		sameDraws(t, p, logits)
		for len(logits) < 1000 { // many blocks
			logits = append(logits, logits...)
			for i := len(logits) / 2; i < len(logits); i++ {
				logits[i] -= 0.25
			}
		}
		sameDraws(t, p, logits)
	})
}

// Frequencies follow softmax(logits/T) over what the cuts leave: with n draws each
// is within 5 standard deviations, √(p(1-p)/n).
func TestDrawFollowsTheDistribution(t *testing.T) {
	logits := []float32{2, 1, 0, -1, 1, nan}
	const n = 40_000
	for _, c := range []struct {
		p    Params
		left []int32 // the tokens that may appear
	}{
		{Params{Temperature: 1}, []int32{0, 1, 2, 3, 4}},
		{Params{Temperature: 0.5}, []int32{0, 1, 2, 3, 4}},
		{Params{Temperature: 1, TopK: 2}, []int32{0, 1}},       // of the equals 1 and 4 the first
		{Params{Temperature: 1, TopP: 0.75}, []int32{0, 1, 4}}, // .52 .19 .19 .07
		{Params{Temperature: 1, MinP: 0.14}, []int32{0, 1, 4}}, // e^-1 = .37, e^-2 = .135
	} {
		sum := 0.0
		for _, id := range c.left {
			sum += math.Exp(float64(logits[id]) / c.p.Temperature)
		}
		s, w := New(c.p, len(logits), nil), memory(t, len(logits))
		counts := make([]float64, len(logits))
		for range n {
			id, err := s.Token(w, logits)
			if err != nil {
				t.Fatal(err)
			}
			counts[id]++
		}
		for id, got := range counts {
			p := 0.0
			if slices.Contains(c.left, int32(id)) {
				p = math.Exp(float64(logits[id])/c.p.Temperature) / sum
			}
			if sd := math.Sqrt(p * (1 - p) / n); math.Abs(got/n-p) > 5*sd {
				t.Errorf("%+v: token %d in %.4f of the draws, want %.4f ± %.4f", c.p, id, got/n, p, 5*sd)
			}
		}
	}
}

// The same seed gives the same tokens whatever is drawn in between with the same
// Work; another seed gives others.
func TestSeed(t *testing.T) {
	logits := make([]float32, 100)
	w := memory(t, 100)
	draw := func(seed uint64, other *Sampler) (ids []int32) {
		s := New(Params{Temperature: 1, Seed: seed}, 100, nil)
		for range 20 {
			if other != nil {
				if _, err := other.Token(w, logits); err != nil {
					t.Fatal(err)
				}
			}
			id, err := s.Token(w, logits)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	alone := draw(7, nil)
	if among := draw(7, New(Params{Temperature: 2, FrequencyPenalty: 1, Seed: 1}, 100, nil)); !slices.Equal(alone, among) {
		t.Errorf("seed 7 alone %v, among others %v", alone, among)
	}
	if other := draw(8, nil); slices.Equal(alone, other) {
		t.Errorf("seeds 7 and 8 both give %v", other)
	}
	// Recorded: the same on every architecture.
	if want := []int32{52, 30, 94, 88}; !slices.Equal(alone[:4], want) {
		t.Errorf("seed 7 gives %v, recorded were %v", alone[:4], want)
	}
}

func TestPenalties(t *testing.T) {
	logits := []float32{2, -1, 0.5, nan, negInf}
	for _, c := range []struct {
		name   string
		p      Params
		prompt []int32
		answer []int32
		want   []float32
	}{
		{"none", Params{}, []int32{0}, []int32{1}, logits},
		{"repetition counts prompt and answer, once", Params{RepetitionPenalty: 2}, []int32{0, 0}, []int32{1, 1, 4}, []float32{1, -2, 0.5, nan, negInf}},
		{"presence counts the answer, once", Params{PresencePenalty: 0.5}, []int32{0}, []int32{1, 1}, []float32{2, -1.5, 0.5, nan, negInf}},
		{"frequency counts each", Params{FrequencyPenalty: 0.25}, []int32{2}, []int32{2, 2, 0}, []float32{1.75, -1, 0, nan, negInf}},
		{"bias comes before repetition", Params{RepetitionPenalty: 2, LogitBias: map[int32]float32{1: 3, 2: negInf}}, []int32{1}, nil, []float32{2, 1, negInf, nan, negInf}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, w := New(c.p, len(logits), c.prompt), memory(t, len(logits))
			if s.penalties {
				s.begin()
				for _, id := range c.answer {
					s.note(id, 1)
				}
			}
			if _, ok := s.Draw(); ok != (c.name == "none") {
				t.Errorf("a device may draw: %v", ok)
			}
			got := s.adjust(w, logits)
			for i := range got {
				if math.Float32bits(got[i]) != math.Float32bits(c.want[i]) {
					t.Fatalf("logits %v, want %v", got, c.want)
				}
			}
			if logits[0] != 2 || logits[2] != 0.5 {
				t.Fatal("the caller's logits changed")
			}
		})
	}
}

func TestUnknownISA(t *testing.T) {
	t.Setenv("LLMQAT_ISA", "abacus")
	if _, err := NewWork(2); err == nil || !strings.Contains(err.Error(), `LLMQAT_ISA="abacus"`) {
		t.Errorf("error %v, want one that names the instruction set", err)
	}
}

// A penalty sees the tokens that the sampler itself drew.
func TestFrequencyPenaltyMakesTokensTakeTurns(t *testing.T) {
	s, w := New(Params{FrequencyPenalty: 1}, 3, nil), memory(t, 3)
	var ids []int32
	for range 6 {
		id, err := s.Token(w, []float32{0.2, 0.1, 0})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if want := []int32{0, 1, 2, 0, 1, 2}; !slices.Equal(ids, want) {
		t.Errorf("tokens %v, want %v", ids, want)
	}
}

func TestLogprob(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, 300)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 5)
	}
	logits[9], logits[10], logits[11] = nan, negInf, logits[12]
	sum := 0.0
	for _, v := range logits {
		if v == v {
			sum += math.Exp(float64(v))
		}
	}
	order := make([]int32, 0, 300)
	for i, v := range logits {
		if v == v {
			order = append(order, int32(i))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		if logits[a] > logits[b] {
			return -1
		} else if logits[a] < logits[b] {
			return 1
		}
		return 0
	})
	w := memory(t, 300)
	for _, n := range []int{0, 1, 20} {
		for id := range int32(300) {
			got, top := Logprob(w, logits, id, n)
			want := math.Log(math.Exp(float64(logits[id])) / sum)
			if logits[id] != logits[id] {
				want = math.Inf(-1)
			}
			// Of the most likely token and those within e^-16 of it, whose weights are what
			// matters of the sum, the arguments of exp are within 16·2^-24 and exp is within
			// 1.1 ulp; the result is rounded to float32.
			if !(math.Abs(float64(got)-want) <= 18*0x1p-24+math.Abs(want)*0x1p-24 || float64(got) == want) {
				t.Fatalf("token %d: %v, want %v", id, got, want)
			}
			if len(top) != n {
				t.Fatalf("%d of the most likely tokens, want %d", len(top), n)
			}
			for i, x := range top {
				if alone, _ := Logprob(w, logits, x.ID, 0); x.ID != order[i] || x.Logprob != alone {
					t.Fatalf("top[%d] is %+v, want token %d with %v", i, x, order[i], alone)
				}
			}
		}
	}
	if got, top := Logprob(memory(t, 2), []float32{nan, negInf}, 0, 2); got != negInf || len(top) != 0 {
		t.Errorf("no logit at all: %v and %v, want -Inf and nothing", got, top)
	}
	if got, _ := Logprob(memory(t, 3), []float32{inf, 0, inf}, 2, 0); math.Abs(float64(got)+math.Ln2) > 1e-7 {
		t.Errorf("one of two infinities: %v, want -ln 2", got)
	}
}

func TestMath(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var hash uint64
	for range 200_000 {
		x := math.Ldexp(1+r.Float64(), r.IntN(25))
		got := log(x)
		if want := math.Log(x); math.Abs(got-want) > 1e-15*max(want, 1e-3) {
			t.Fatalf("log(%v) = %v, want %v", x, got, want)
		}
		hash = mix(hash + math.Float64bits(got))
	}
	if log(1) != 0 {
		t.Errorf("log(1) = %v, want 0", log(1))
	}
	const recorded = 0x343e50e7fcd4c325 // one hash of all these bits: the same on every architecture
	if hash != recorded {
		t.Errorf("the bits of log hash to %#x, recorded was %#x", hash, uint64(recorded))
	}
}

func TestCheck(t *testing.T) {
	bad := func(name string, p Params) {
		t.Helper()
		var e *ParamError
		if err := p.Check(10); !errors.As(err, &e) || e.Param != name {
			t.Errorf("%+v: error %v, want one about %s", p, err, name)
		}
	}
	nan := math.NaN()
	for _, v := range []float64{-0.1, nan, math.Inf(1), 1e308} {
		bad("temperature", Params{Temperature: v})
		bad("top_p", Params{TopP: v})
		bad("min_p", Params{MinP: v})
		bad("repetition_penalty", Params{RepetitionPenalty: v})
	}
	for _, v := range []float64{-101, nan, math.Inf(-1)} {
		bad("presence_penalty", Params{PresencePenalty: v})
		bad("frequency_penalty", Params{FrequencyPenalty: v})
	}
	bad("top_k", Params{TopK: -1})
	bad("logit_bias", Params{LogitBias: map[int32]float32{10: 1}})
	bad("logit_bias", Params{LogitBias: map[int32]float32{-1: 1}})
	bad("logit_bias", Params{LogitBias: map[int32]float32{0: inf}})
	bad("logit_bias", Params{LogitBias: map[int32]float32{0: float32(nan)}})
	good := Params{Temperature: 2, TopK: 40, TopP: 1, MinP: 1, RepetitionPenalty: 1.1, PresencePenalty: -2, LogitBias: map[int32]float32{9: negInf}}
	if err := good.Check(10); err != nil {
		t.Error(err)
	}
}

func TestTokenDoesNotAllocate(t *testing.T) {
	const vocab = 500
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(i % 7)
	}
	w := memory(t, vocab)
	for _, p := range []Params{
		{}, {Temperature: 1}, {Temperature: 1, TopP: 0.9}, {Temperature: 1, TopK: 40, TopP: 0.9, MinP: 0.01},
		{Temperature: 1, RepetitionPenalty: 1.1, FrequencyPenalty: 0.5, LogitBias: map[int32]float32{3: 1}},
	} {
		s := New(p, vocab, []int32{1, 2, 3})
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.Token(w, logits); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%+v: %v allocations a token", p, n)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	for _, vocab := range []int{32_000, 128_256} {
		r := rand.New(rand.NewPCG(1, 2))
		flat, sure := make([]float32, vocab), make([]float32, vocab) // as of random weights, and of a trained model
		for i := range flat {
			flat[i] = float32(2 * r.NormFloat64())
			sure[i] = float32(2.5*r.NormFloat64() + 2*r.ExpFloat64())
		}
		w := memory(b, vocab)
		for _, c := range []struct {
			name string
			p    Params
		}{
			{"greedy", Params{}}, {"temperature", Params{Temperature: 1}}, {"topk=40", Params{Temperature: 1, TopK: 40}},
			{"topk=2000", Params{Temperature: 1, TopK: 2000}}, {"topp=0.95", Params{Temperature: 1, TopP: 0.95}},
			{"topp=0.95,hot", Params{Temperature: 100, TopP: 0.95}},
			{"minp=0.05", Params{Temperature: 1, MinP: 0.05}}, {"topk=40,topp=0.95", Params{Temperature: 0.8, TopK: 40, TopP: 0.95}},
		} {
			for i, logits := range [][]float32{flat, sure} {
				b.Run(fmt.Sprintf("vocab=%d/params=%s/logits=%s", vocab, c.name, []string{"flat", "sure"}[i]), func(b *testing.B) {
					s := New(c.p, vocab, nil)
					for b.Loop() {
						if _, err := s.Token(w, logits); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
		for _, top := range []int{0, 20} {
			b.Run(fmt.Sprintf("vocab=%d/logprobs=%d", vocab, top), func(b *testing.B) {
				for b.Loop() {
					Logprob(w, flat, 5, top)
				}
			})
		}
	}
}
