package score

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

const tinyVocab, tinyContext = 300, 200

// random returns a .qat file of random weights.
func random(t *testing.T) *qat.File {
	t.Helper()
	c := format.Config{
		HiddenSize: 32, IntermediateSize: 48, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 8,
		VocabSize: tinyVocab, MaxPositionEmbeddings: tinyContext, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}
	path := filepath.Join(t.TempDir(), "random.qat")
	if err := convert.Synth(context.Background(), c, path, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func scorer(t *testing.T, f *qat.File, o engine.Options) *Engine {
	t.Helper()
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	o.Device = dev
	s, err := NewEngine(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ask(context, continuation []int32) Request {
	return Request{Context: context, Continuation: continuation}
}

// all returns the scores of requests, each of which must be told once.
func all(t *testing.T, s Scorer, requests []Request) []Score {
	t.Helper()
	scores, told := make([]Score, len(requests)), make([]int, len(requests))
	err := s.Score(context.Background(), requests, func(i int, x Score) error {
		scores[i] = x
		told[i]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range told {
		if n != 1 {
			t.Fatalf("request %d of %d was told %d times", i, len(requests), n)
		}
	}
	return scores
}

// questions are requests as tasks have them: of all lengths, with heads and contexts that
// several share, some asked twice.
func questions(r *rand.Rand) (list []Request) {
	draw := func(least, most int) (ids []int32) {
		for range least + r.IntN(most-least+1) {
			ids = append(ids, int32(r.IntN(tinyVocab)))
		}
		return ids
	}
	for range 3 {
		head := draw(0, 100)
		for range 4 {
			question := append(slices.Clip(head), draw(1, 50)...)
			for range 1 + r.IntN(4) {
				list = append(list, ask(question, draw(1, 20)))
			}
		}
	}
	list = append(list, list[:5]...)
	list = append(list, ask(draw(1, 1), draw(tinyContext, tinyContext)), ask(draw(tinyContext, tinyContext), draw(1, 1)))
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// alone scores a request of which nothing is shared, by its definition: the sum over the
// continuation of the logprobs that the engine tells of the whole text.
func alone(t *testing.T, s *Engine, r Request) (sum Score) {
	t.Helper()
	ids := slices.Concat(r.Context, r.Continuation)
	events, err := s.engine.Generate(context.Background(), engine.Request{IDs: ids, LogprobsFrom: 1, Logprobs: 20})
	if err != nil {
		t.Fatal(err)
	}
	sum.Greedy = true
	for ev := range events {
		if ev.Err != nil {
			t.Fatal(ev.Err)
		}
		for i, p := range ev.Prompt {
			if i+1 < len(r.Context) {
				continue
			}
			sum.Logprob += float64(p.Logprob)
			for _, other := range p.Top {
				if other.ID != p.ID && (other.Logprob > p.Logprob || other.Logprob == p.Logprob && other.ID < p.ID) {
					sum.Greedy = false
				}
			}
		}
	}
	return sum
}

// A request's score is what it is alone, in whatever batches, steps and memory, and whatever
// was scored before.
func TestScoresAreThoseAlone(t *testing.T) {
	f := random(t)
	requests := questions(rand.New(rand.NewPCG(1, 1)))
	single := scorer(t, f, engine.Options{})
	if err := single.load(tinyContext + 1); err != nil {
		t.Fatal(err)
	}
	var want []Score
	for i, r := range requests {
		switch first, room := r.Continuation[0], len(r.Context)+len(r.Continuation) <= tinyContext; {
		case room && i%4 == 0: // as the model goes on itself
			r.Continuation = greedily(t, single, r.Context, len(r.Continuation))
		case room && i%4 == 1: // as it does after a token of another's
			after := append(slices.Clone(r.Context), first)
			r.Continuation = append([]int32{first}, greedily(t, single, after, len(r.Continuation)-1)...)
		}
		requests[i] = r
		want = append(want, alone(t, single, r))
	}
	greedy := 0
	for _, s := range want {
		if s.Greedy {
			greedy++
		}
	}
	if greedy == 0 || greedy == len(want) {
		t.Errorf("%d of %d continuations are the likeliest: both kinds are wanted", greedy, len(want))
	}
	page := kvcache.PageBytes(&f.Header().Config, f.Header().Quantization.KV())
	for name, o := range map[string]engine.Options{
		"defaults": {}, "small steps": {MaxSeqs: 3, Budget: 17}, "one by one": {MaxSeqs: 1}, "small cache": {KVBytes: 4 * page, MaxSeqs: 8},
	} {
		s := scorer(t, f, o)
		for _, when := range []string{"cold", "warm"} {
			for i, got := range all(t, s, requests) {
				if got != want[i] {
					t.Errorf("%s, %s: request %d: %+v, alone %+v", name, when, i, got, want[i])
				}
			}
		}
	}
}

// greedily returns the n tokens that the model continues ids by.
func greedily(t *testing.T, s *Engine, ids []int32, n int) (more []int32) {
	t.Helper()
	if n == 0 {
		return nil
	}
	events, err := s.engine.Generate(context.Background(), engine.Request{IDs: ids, MaxTokens: n, Logprobs: -1, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	for ev := range events {
		if ev.Err != nil {
			t.Fatal(ev.Err)
		}
		if ev.Kind == engine.KindToken {
			more = append(more, ev.Token.ID)
		}
	}
	return more
}

// What contexts share is computed once, but for less than 8 tokens a request that are not
// worth a copy, and equal requests are scored once.
func TestContextsAreComputedOnce(t *testing.T) {
	w := work{head: 70, context: 60, choice: 10, questions: 20}
	requests := w.requests(tinyVocab, true)
	s := scorer(t, random(t), engine.Options{})
	all(t, s, append(requests, requests...))
	once := w.head + w.questions*(w.context+4*w.choice)
	got := int(s.engine.Stats().PromptTokens)
	if least, most := once-w.questions, once+8*len(requests); got < least || got > most {
		t.Errorf("%d tokens were computed, want %d to %d, of %d", got, least, most, len(requests)*(w.head+w.context+w.choice))
	}
}

func TestEngineRefuses(t *testing.T) {
	s := scorer(t, random(t), engine.Options{})
	long := make([]int32, tinyContext+1)
	for _, c := range []struct {
		r    Request
		want string
	}{
		{ask(nil, long[:1]), "request 1: no context"},
		{ask(long[:1], nil), "request 1: no token to score"},
		{ask(long, long[:1]), "request 1: context of 201 tokens and continuation of 1: the model takes 201 together"},
		{ask(long[:1], []int32{tinyVocab}), "token 300 at 1"},
	} {
		err := s.Score(context.Background(), []Request{ask(long[:1], long[:1]), c.r}, func(int, Score) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// A model whose logits are no numbers has no scores.
func TestBrokenModel(t *testing.T) {
	f := random(t)
	file := slices.Clone(f.Bytes())
	scale, ok := f.Tensor("lm_head.weight_scale")
	if !ok {
		t.Fatal("no scales of lm_head")
	}
	at := bytes.Index(file, f.Data(scale))
	for i := at; i < at+len(f.Data(scale)); i += 4 {
		binary.LittleEndian.PutUint32(file[i:], math.Float32bits(float32(math.NaN())))
	}
	path := filepath.Join(t.TempDir(), "broken.qat")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	broken, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	s := scorer(t, broken, engine.Options{})
	defer s.Close()
	err = s.Score(context.Background(), []Request{ask([]int32{1}, []int32{2})}, func(int, Score) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no numbers") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one about logits that are no numbers", err)
	}
}

// The first error ends it: done's, the caller's, the engine's.
func TestScoreEnds(t *testing.T) {
	f := random(t)
	requests := work{context: 100, choice: 20, questions: 500}.requests(tinyVocab, true)
	ctx, cancel := context.WithCancel(context.Background())
	full := errors.New("disk full")
	for _, c := range []struct {
		name string
		ctx  context.Context
		done func(s *Engine) error
		want error
	}{
		{"done", context.Background(), func(*Engine) error { return full }, full},
		{"context", ctx, func(*Engine) error { cancel(); return nil }, context.Canceled},
		{"engine", context.Background(), func(s *Engine) error { return s.Close() }, engine.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n := scorer(t, f, engine.Options{}), 0
			err := s.Score(c.ctx, requests, func(int, Score) error {
				if n++; n > 1 && c.want == full {
					t.Error("told after an error")
				}
				return c.done(s)
			})
			if !errors.Is(err, c.want) || n == 0 || n == len(requests) {
				t.Errorf("ended with %v after %d of %d scores, want %v", err, n, len(requests), c.want)
			}
		})
	}
}

// The engine is as large as what is asked of it, however long the model's context is, and a dry run tells its bytes.
func TestCacheIsForWhatIsAsked(t *testing.T) {
	f := random(t)
	h := f.Header()
	h.Config.MaxPositionEmbeddings = 1 << 20
	s := scorer(t, f, engine.Options{MemoryBytes: 64 << 20})
	if s.MaxTokens() != 1<<20+1 {
		t.Errorf("takes %d tokens", s.MaxTokens())
	}
	ids := make([]int32, 5*tinyContext)
	page := kvcache.PageBytes(&h.Config, h.Quantization.KV())
	loads := map[*engine.Engine]bool{}
	for _, tokens := range []int{100, 2, 5 * tinyContext, 300} {
		all(t, s, []Request{ask(ids[:1], ids[1:2]), ask(ids[:tokens-1], ids[tokens-1:tokens])})
		loads[s.engine] = true
		most := max(100, tokens)
		if tokens == 300 {
			most = 5 * tinyContext
		}
		want, err := Foresee(h, engine.Options{Device: s.options.Device}, most)
		if err != nil {
			t.Fatal(err)
		}
		info := s.engine.Info()
		if info.MaxContext != most-1 || info.KVBytes != cacheSeqs*int64(kvcache.Count(most-1))*page || info.KVBytes != want.KVBytes || info.MaxSeqs != want.MaxSeqs {
			t.Errorf("%d tokens: %+v, foreseen %+v", tokens, info, want)
		}
	}
	if len(loads) != 2 {
		t.Errorf("the model was loaded %d times, want 2", len(loads))
	}
	s.Close()
	for _, tokens := range []int{2, 1000} {
		if err := s.Score(t.Context(), []Request{ask(ids[:1], ids[1:tokens])}, nil); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// What belongs together is asked together.
func TestOrder(t *testing.T) {
	a, b, c := []int32{1, 5, 5}, []int32{1, 5, 7}, []int32{1, 9}
	requests := []Request{ask(c, a), ask(b, a), {Context: []int32{3}, Continuation: a, With: b}, ask(a, b), {Context: []int32{0}, Continuation: a, With: c}, ask(a, b), ask(a, a)}
	var got []int
	for _, g := range groups(requests) {
		got = append(got, g[0])
	}
	if want := []int{6, 3, 1, 2, 4, 0}; !slices.Equal(got, want) {
		t.Errorf("asked in the order %v, want %v", got, want)
	}
}
