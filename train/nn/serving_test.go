package nn

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
	runtime "github.com/llmqat/llmqat/runtime/model"
)

// The forward pass that is trained is the served one: the logits are the same numbers, of
// sequences in any order and of any length in one pass, whatever they are rounded to.
func TestForwardIsTheServedOne(t *testing.T) {
	for _, c := range []struct {
		bits   string
		scheme quant.KVScheme
		head   int
		float  string
		learn  bool
	}{
		{"4-8-4", quant.KVToken, 16, qat.Float16, true},
		{"4-8-4", quant.KVHead, 8, qat.Float16, true},
		{"4-8-4", quant.KVHeadZP, 8, qat.Float16, true},
		{"4-8-4", quant.KVHeadZP, 16, qat.BFloat16, false},
		{"8-8-8", quant.KVHeadZP, 8, qat.Float16, true},
		{"8-8-8", quant.KVToken, 8, qat.Float32, false},
		{"4-8-16", quant.KVHeadZP, 16, qat.Float16, true},
		{"4-6-16", quant.KVHeadZP, 8, qat.Float32, true},
		{"4-16-16", quant.KVHeadZP, 16, qat.Float16, true},
		{"4-16-4", quant.KVHeadZP, 8, qat.BFloat16, true},
		{"16-16-16", quant.KVHeadZP, 16, qat.Float16, false},
		{"16-16-16", quant.KVHeadZP, 16, qat.BFloat16, false},
		{"16-16-16", quant.KVHeadZP, 8, qat.Float32, false},
		{"4-4-4", quant.KVHeadZP, 8, qat.Float16, true},
		{"8-8-4", quant.KVHead, 16, qat.Float16, true},
	} {
		for _, tied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/%d/%s/tied=%v", c.bits, c.scheme, c.head, c.float, tied), func(t *testing.T) {
				d := device(t, 2)
				src := noise{tiny(tied), 5}
				src.c.MaxPositionEmbeddings = 100
				q := setting(t, c.bits, c.scheme, c.head)
				q.Float = c.float
				m, err := New(d, src, Options{Quantization: q, Train: true, LearnSteps: c.learn, MaxTokens: 300, MaxLength: 100})
				if err != nil {
					t.Fatal(err)
				}
				disturb(t, d, m)
				m.Prepare()
				b := batch(rand.New(rand.NewPCG(9, 1)), src.c.VocabSize, 1, 70, 64, 9)
				m.forward(b)
				logits := m.pass.logits.First(b.Tokens())
				m.logits(logits, 0)
				got := values(d, logits)
				for _, ids := range b {
					want := served(t, d, m, ids)
					for i := range want {
						if got[i] != want[i] {
							t.Fatalf("sequence of %d tokens: logit %d of token %d is %v, served %v", len(ids), i%src.c.VocabSize, i/src.c.VocabSize, got[i], want[i])
						}
					}
					got = got[len(want):]
				}
			})
		}
	}
}

// disturb moves the steps of weights away from MinMax's, so that weights reach the ends of
// the range, and leaves rows of zeros.
func disturb(t *testing.T, d kernels.TrainDevice, m *Model) {
	for _, p := range m.Params() {
		w := values(d, p.W)
		if p.Of != nil {
			for i := range w {
				w[i] *= 0.5 + 0.1*float32(i%7)
			}
		} else if p.W.Rows > 1 {
			clear(w[p.W.Cols:][:p.W.Cols])
		}
		kernels.UploadFloats(d, p.W, w)
	}
}

// served returns the logits that follow each of ids, of m as a server has it, which is
// given the tokens in two steps.
func served(t *testing.T, d kernels.Device, m *Model, ids []int32) (logits []float32) {
	t.Helper()
	q := m.o.Quantization
	path := filepath.Join(t.TempDir(), "m.qat")
	o := convert.Options{Bits: q.Bits, KVScheme: q.KVScheme, Float: q.Float, LMHeadBits: q.LMHeadBits, Trained: convert.Trained{Scales: m.Steps}}
	if err := convert.Quantize(context.Background(), m.Source(nil), path, o); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := runtime.Load(d, f, runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pool, err := kvcache.NewPool(d, &m.config, q.KV(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for from, to := 0, (len(ids)+1)/2; from < len(ids); from, to = to, len(ids) {
		rows := make([]int32, to-from)
		for i := range rows {
			rows[i] = int32(i)
		}
		s.Forward([]runtime.Run{{Tokens: ids[from:to], Position: from, Pages: []int32{1, 0}}}, rows, nil, pool.Layers)
		if err := s.Logits(func(_ int, row []float32) { logits = append(logits, row...) }); err != nil {
			t.Fatal(err)
		}
	}
	return logits
}

// What is written of a trained model is its weights, and its steps where they are its own.
func TestSource(t *testing.T) {
	d := device(t, 1)
	src := noise{tiny(false), 3}
	for _, learn := range []bool{false, true} {
		m := model(t, d, src, Options{Quantization: setting(t, "4-8-4", quant.KVHead, 8), Train: true, LearnSteps: learn})
		out := m.Source(nil)
		for _, s := range src.c.Tensors() {
			rows, cols := s.Out, s.In
			if s.In == 0 {
				rows, cols = 1, s.Out
			}
			got, want := make([]float32, 2*cols), make([]float32, 2*cols)
			if rows < 2 {
				got, want = got[:cols], want[:cols]
			}
			if err := out.ReadRows(got, s.Name, rows-len(got)/cols); err != nil {
				t.Fatal(err)
			}
			if err := src.ReadRows(want, s.Name, rows-len(got)/cols); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: rows %v, want %v", s.Name, got, want)
			}
			steps := m.Steps(s.Name)
			if !learn || !s.Linear {
				if steps != nil {
					t.Errorf("%s has steps of its own", s.Name)
				}
				continue
			}
			row := make([]float32, cols)
			if err := src.ReadRows(row, s.Name, rows-1); err != nil {
				t.Fatal(err)
			}
			if scale, _ := quant.WeightScale(row, 4); len(steps) != rows || steps[rows-1] != scale {
				t.Errorf("%s: %d steps, the last %v, want %d and %v", s.Name, len(steps), steps[len(steps)-1], rows, scale)
			}
		}
		if err := out.ReadRows(make([]float32, 1), "none", 0); err == nil {
			t.Error("a tensor that there is not was read")
		}
	}
}

// Compared with its own logits a student is what it is, and not apart from itself.
func TestEvaluateServed(t *testing.T) {
	d := device(t, 2)
	c := tiny(false)
	teacher := model(t, d, noise{c, 5}, Options{Quantization: setting(t, "16-16-16", quant.KVHead, 16), KeepMaps: true})
	m := model(t, d, noise{c, 6}, Options{Quantization: setting(t, "4-8-4", quant.KVHead, 8), Train: true})
	b, l := batch(rand.New(rand.NewPCG(9, 1)), c.VocabSize, 20, 9), Loss{Attention: 1, Hidden: 1}
	want, err := m.Evaluate(teacher, b, l)
	if err != nil {
		t.Fatal(err)
	}
	m.forward(b)
	logits := m.pass.logits.First(29)
	m.logits(logits, 0)
	own := values(d, logits)
	s, err := m.EvaluateServed(teacher, b, l, func(dst []float32) error {
		own = own[copy(dst, own):]
		return nil
	})
	without := want
	without.Positions, without.Attention, without.Hidden = 0, 0, 0
	if err != nil || len(own) != 0 || s.Own != want || s.Served != without || want.Attention == 0 || want.Hidden == 0 {
		t.Errorf("%+v, %v, %d logits left, want twice %+v", s, err, len(own), want)
	}
	if a := s.Apart; a.Tokens != 27 || math.Abs(a.KL) > 27e-6 || a.CE != a.TeacherCE || a.CE != want.CE || a.Same != 27 {
		t.Errorf("apart from itself by %+v", a)
	}
}
