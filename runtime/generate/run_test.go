package generate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// qatFile writes a small model that talks noise.
func qatFile(t testing.TB, bits string, seed uint64) string {
	t.Helper()
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "random.qat")
	err = convert.Synth(context.Background(), format.Config{
		HiddenSize: 64, IntermediateSize: 96, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 16,
		VocabSize: 300, MaxPositionEmbeddings: 100, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}, path, convert.Options{Bits: b, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func teacher(t testing.TB, seed uint64) *Teacher {
	t.Helper()
	m, err := OpenTeacher(context.Background(), qatFile(t, "16-16-16", seed), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// options are of 40 samples of up to 40 tokens, some of which end early.
func options(i, n int) Options {
	return Options{Shard: i, Shards: n, Samples: 40, MaxTokens: 40, Greedy: []int{2, 3, 4}, Temperature: 1, TopK: 50, Seed: 9}
}

// started returns the plan of o and an engine for it.
func started(t testing.TB, m *Teacher, o Options, batch, threads int) (*Plan, *engine.Engine) {
	t.Helper()
	p, err := NewPlan(m, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Float(context.Background(), "", convert.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := device.Open("cpu", threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	e, err := p.Engine(f, dev, batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return p, e
}

// run writes the shard of o at path, and returns its bytes.
func run(t testing.TB, m *Teacher, o Options, batch, threads int, path string) []byte {
	t.Helper()
	p, e := started(t, m, o, batch, threads)
	w, err := tokens.Append(path, p.Header)
	if err != nil {
		t.Fatal(err)
	}
	var last Progress
	if err := p.Run(context.Background(), e, w, func(x Progress) { last = x }); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if from, to := p.Header.Range(); last.Done != to-from || last.Total != to-from || last.Tokens == 0 {
		t.Errorf("the last report is %+v, want %d samples", last, to-from)
	}
	if s := e.Stats(); batch > 8 && s.GeneratedTokens <= s.Steps {
		t.Errorf("%d tokens in %d steps: %d samples are not drawn together", s.GeneratedTokens, s.Steps, batch)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Neither batch, threads nor shards change a sample.
func TestSameSamples(t *testing.T) {
	m, dir := teacher(t, 1), t.TempDir()
	want := run(t, m, options(0, 1), 1, 1, filepath.Join(dir, "one"))
	for _, batch := range []int{3, 64} {
		if !bytes.Equal(run(t, m, options(0, 1), batch, 2, filepath.Join(dir, fmt.Sprint(batch))), want) {
			t.Errorf("%d samples together: the file differs", batch)
		}
	}
	for i := range 3 {
		run(t, m, options(i, 3), 8, 2, filepath.Join(dir, tokens.ShardName(i, 3)))
	}
	out := filepath.Join(dir, "merged")
	if _, err := tokens.Merge(context.Background(), out, []string{dir}, nil); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, want) {
		t.Errorf("three shards, merged, differ from one: %v", err)
	}
	other := options(0, 1)
	other.Seed++
	if bytes.Equal(run(t, m, other, 8, 2, filepath.Join(dir, "other")), want) {
		t.Error("another seed gives the same file")
	}
}

// samples reads all of a file.
func samples(t *testing.T, path string) (list []tokens.Sample) {
	t.Helper()
	set, err := tokens.OpenSet(path)
	if err != nil {
		t.Fatal(err)
	}
	for s, err := range set.All() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// ask returns what the engine adds to ids.
func ask(t *testing.T, e *engine.Engine, ids []int32, n int, p sample.Params) (answer []int32) {
	t.Helper()
	events, err := e.Generate(context.Background(), engine.Request{IDs: ids, MaxTokens: n, Sampling: p, Logprobs: -1, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	for ev := range events {
		if ev.Err != nil {
			t.Fatal(ev.Err)
		}
		if ev.Kind == engine.KindToken {
			answer = append(answer, ev.Token.ID)
		}
	}
	return answer
}

// A sample is BOS, its start token, the likeliest tokens, then drawn ones, up to the
// first that ends a text.
func TestSamples(t *testing.T) {
	m, path := teacher(t, 1), filepath.Join(t.TempDir(), "a")
	run(t, m, options(0, 1), 16, 2, path)
	p, e := started(t, m, options(0, 1), 1, 1)
	ended := 0
	for i, s := range samples(t, path) {
		start, greedy, seed := p.At(int64(i))
		if s.Start != start || s.Greedy != greedy || s.Prompt != 2 {
			t.Errorf("sample %d says start %d, greedy %d, prompt %d; want %d, %d, 2", i, s.Start, s.Greedy, s.Prompt, start, greedy)
		}
		want := []int32{1, start}
		want = append(want, ask(t, e, want, greedy, sample.Params{})...)
		want = append(want, ask(t, e, want, 40-len(want), sample.Params{Temperature: 1, TopK: 50, Seed: seed})...)
		eos := false
		if end := slices.IndexFunc(want[2:], func(id int32) bool { return id == 1 || id == 2 }); end >= 0 {
			want, eos = want[:2+end+1], true
			ended++
		}
		if !slices.Equal(s.IDs, want) || s.EOS != eos {
			t.Errorf("sample %d is %v, eos %v; want %v, %v", i, s.IDs, s.EOS, want, eos)
		}
	}
	if ended == 0 || ended == 40 {
		t.Errorf("%d of 40 samples end early: the test shows nothing", ended)
	}
}

// Without likeliest tokens all are drawn; temperature 0 draws none.
func TestOnlyDrawn(t *testing.T) {
	m, dir := teacher(t, 1), t.TempDir()
	o := options(0, 1)
	o.Greedy, o.Samples = []int{0}, 5
	run(t, m, o, 4, 2, filepath.Join(dir, "drawn"))
	drawn := samples(t, filepath.Join(dir, "drawn"))
	p, e := started(t, m, o, 1, 1)
	for i, s := range drawn {
		start, _, seed := p.At(int64(i))
		if want := ask(t, e, []int32{1, start}, 1, sample.Params{Temperature: 1, TopK: 50, Seed: seed}); s.IDs[2] != want[0] || s.Greedy != 0 {
			t.Errorf("sample %d goes on with %d, greedy %d; want %d, 0", i, s.IDs[2], s.Greedy, want[0])
		}
	}
	o.Greedy, o.MaxTokens = []int{38}, 40
	run(t, m, o, 4, 2, filepath.Join(dir, "likeliest"))
	o.Greedy, o.Temperature = []int{2}, 0
	run(t, m, o, 4, 2, filepath.Join(dir, "cold"))
	cold := samples(t, filepath.Join(dir, "cold"))
	for i, s := range samples(t, filepath.Join(dir, "likeliest")) {
		if !slices.Equal(s.IDs, cold[i].IDs) {
			t.Errorf("sample %d: 38 likeliest tokens %v, temperature 0 %v", i, s.IDs, cold[i].IDs)
		}
	}
}

// Samples from BOS alone: all begin with it once, and each is another one.
func TestFromBOS(t *testing.T) {
	m, dir := teacher(t, 1), t.TempDir()
	o := options(0, 1)
	o.FromBOS, o.Greedy, o.Samples = true, []int{0}, 5
	run(t, m, o, 4, 2, filepath.Join(dir, "bos"))
	first := map[string]bool{}
	for i, s := range samples(t, filepath.Join(dir, "bos")) {
		if s.IDs[0] != 1 || s.Start != 1 || s.Prompt != 1 || len(s.IDs) < 2 || s.IDs[1] == 1 {
			t.Errorf("sample %d: ids %v, start %d, prompt of %d; want BOS alone given", i, s.IDs, s.Start, s.Prompt)
		}
		first[fmt.Sprint(s.IDs)] = true
	}
	if len(first) != 5 {
		t.Errorf("%d different samples of 5", len(first))
	}
	no := false
	for want, bad := range map[string]Options{
		"say how many by --samples": {FromBOS: true, Greedy: []int{0}},
		"leave --from-bos out":      {FromBOS: true, Greedy: []int{0}, Samples: 1, BOS: &no},
	} {
		if _, err := NewPlan(m, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

// Whatever ends a run, what is written is whole, and the next run makes the same file.
func TestEnded(t *testing.T) {
	m, dir := teacher(t, 1), t.TempDir()
	want := run(t, m, options(0, 1), 16, 2, filepath.Join(dir, "whole"))
	for name, end := range map[string]func(cancel func(), e *engine.Engine){
		"interrupted": func(cancel func(), e *engine.Engine) { cancel() },
		"engine ends": func(cancel func(), e *engine.Engine) { e.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			p, e := started(t, m, options(0, 1), 2, 1)
			w, err := tokens.Append(path, p.Header)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				for e.Stats().GeneratedTokens < 200 {
					time.Sleep(time.Millisecond)
				}
				end(cancel, e)
			}()
			err = p.Run(ctx, e, w, nil)
			if !errors.Is(err, context.Canceled) && !errors.Is(err, engine.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil || len(b) >= len(want) || !bytes.HasPrefix(want, b) {
				t.Fatalf("%v; %d bytes of %d are written, or others", err, len(b), len(want))
			}
			if !bytes.Equal(run(t, m, options(0, 1), 16, 2, path), want) {
				t.Error("gone on with, the file differs")
			}
		})
	}
}

// Interrupted before the first sample, a run does not seem finished.
func TestEndedAtOnce(t *testing.T) {
	p, e := started(t, teacher(t, 1), options(0, 1), 2, 1)
	w, err := tokens.Append(filepath.Join(t.TempDir(), "a"), p.Header)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Run(ctx, e, w, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want %v", err, context.Canceled)
	}
}

func TestRunFails(t *testing.T) {
	m := teacher(t, 1)
	p, err := NewPlan(m, options(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Engine(nil, nil, 0, nil); err == nil || !strings.Contains(err.Error(), "a batch of 0 samples") {
		t.Errorf("a batch of 0: %v", err)
	}
	o := options(0, 1)
	o.Samples = 0
	if p, err := NewPlan(m, o); err != nil || p.Header.Samples != 297*3 {
		t.Errorf("by default %d samples, %v; want one for each of 297 start tokens and 3 lengths", p.Header.Samples, err)
	}
}
