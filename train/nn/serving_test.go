package nn

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
	runtime "github.com/llmqat/llmqat/runtime/model"
)

// The forward pass that is trained is the served one, but for the order of its float
// operations: without rounding logits agree to float32's precision, and where a sum's
// last bit tips a rounding they move by a step, so the distributions are compared. About
// half of each bound is found; a rounding's least mistake, queries in 8 bits per token
// and not per head, makes 4e-4 of 1e-4 (4-8-4) and 1.4e-4 of 6e-5 (8-8-8).
func TestForwardIsTheServedOne(t *testing.T) {
	for _, c := range []struct {
		bits   string
		scheme quant.KVScheme
		head   int
		kl     float64 // nats a token, mean
	}{
		{"16-16-16", quant.KVHeadZP, 16, 1e-9},
		{"4-16-16", quant.KVHeadZP, 16, 1e-9},
		{"4-8-16", quant.KVHeadZP, 8, 1e-9},
		{"4-8-4", quant.KVToken, 16, 1e-4},
		{"4-8-4", quant.KVHead, 16, 2e-4},
		{"4-8-4", quant.KVHeadZP, 8, 2e-4},
		{"8-8-8", quant.KVHeadZP, 8, 1e-4},
	} {
		t.Run(c.bits+"/"+string(c.scheme), func(t *testing.T) {
			d := device(t, 2)
			src := noise{tiny(false), 5}
			q := setting(t, c.bits, c.scheme, c.head)
			m := model(t, d, src, Options{Quantization: q})
			ids := batch(rand.New(rand.NewPCG(9, 1)), src.c.VocabSize, 50)
			m.forward(ids)
			logits := m.pass.logits.First(50)
			m.head.forward(d, logits, m.pass.out, false)
			got := values(d, logits)

			path := filepath.Join(t.TempDir(), "m.qat")
			if err := convert.Quantize(context.Background(), src, path, convert.Options{Bits: q.Bits, KVScheme: q.KVScheme, Float: q.Float, LMHeadBits: q.LMHeadBits}); err != nil {
				t.Fatal(err)
			}
			f, err := qat.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			served, err := runtime.Load(d, f, runtime.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer served.Close()
			pool, err := kvcache.NewPool(d, &src.c, q.KV(), 1)
			if err != nil {
				t.Fatal(err)
			}
			rows := make([]int32, 50)
			for i := range rows {
				rows[i] = int32(i)
			}
			served.Forward([]runtime.Run{{Tokens: ids[0], Pages: []int32{0}}}, rows, nil, pool.Layers)
			sum := 0.0
			if err := served.Logits(func(i int, want []float32) { sum += divergence(want, got[i*len(want):][:len(want)]) }); err != nil {
				t.Fatal(err)
			}
			if kl := sum / 50; !(kl < c.kl) {
				t.Errorf("KL(served ‖ trained) is %v nats a token, want %v at most", kl, c.kl)
			} else {
				t.Logf("KL %v", kl)
			}
		})
	}
}

// divergence is KL(softmax(a) ‖ softmax(b)).
func divergence(a, b []float32) (kl float64) {
	lse := func(x []float32) float64 {
		sum := 0.0
		for _, v := range x {
			sum += math.Exp(float64(v))
		}
		return math.Log(sum)
	}
	la, lb := lse(a), lse(b)
	for i := range a {
		p := float64(a[i]) - la
		kl += math.Exp(p) * (p - float64(b[i]) + lb)
	}
	return kl
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
	m.head.forward(d, logits, m.pass.out, false)
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
