package nn

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels/quant"
)

// known is what a teacher finds the likeliest after each of b's tokens.
func known(t *testing.T, teacher *Model, b Batch, k int) *TopK {
	t.Helper()
	var all TopK
	if err := teacher.TopK(b, k, func(ids []int32, ln []float32) error {
		all.IDs, all.Ln = append(all.IDs, ids...), append(all.Ln, ln...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &all
}

// Of all tokens it is the teacher itself that a student learns from; of some it learns,
// too, and less.
func TestStepTopK(t *testing.T) {
	d := device(t, 2)
	c := tiny(true)
	b := batch(rand.New(rand.NewPCG(4, 1)), c.VocabSize, 64, 3, 64, 64, 64, 30) // more than headRows
	teacher := model(t, d, noise{c, 1}, Options{Quantization: float16s})
	step := func(k int) (Stats, []float32) {
		m := model(t, d, noise{c, 2}, Options{Quantization: setting(t, "4-8-4", quant.KVHead, 8), Train: true, TopK: k})
		m.ClearGrads()
		l := Loss{Soft: 0.75, Weight: 0.01}
		var s Stats
		var err error
		if k == 0 {
			s, err = m.Step(teacher, b, l)
		} else {
			wanted := known(t, teacher, b, k)
			s, err = m.StepTopK(wanted, b, l)
			if n := testing.AllocsPerRun(3, func() { _, err = m.StepTopK(wanted, b, l) }); n != 0 {
				t.Errorf("%v allocations a step, want 0", n)
			}
			m.ClearGrads()
			_, err = m.StepTopK(wanted, b, l)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s, values(d, m.params[0].Grad)
	}
	want, grad := step(0)
	all, same := step(c.VocabSize)
	// Logarithms of sums near 1, in float32: good to 1e-6 of each token.
	if n := float64(want.Tokens); all.Tokens != want.Tokens || all.CE != want.CE || all.Same != want.Same || !(math.Abs(all.KL-want.KL) < 1e-5*n && math.Abs(all.TeacherCE-want.TeacherCE) < 1e-5*n) {
		t.Errorf("of all tokens %+v, of the teacher %+v", all, want)
	}
	for i, v := range grad {
		if !(math.Abs(float64(same[i]-v)) < 1e-4*float64(slices.Max(grad))) {
			t.Fatalf("gradient %d is %v, want %v", i, same[i], v)
		}
	}
	some, _ := step(5)
	if !(some.KL > 0 && some.KL < want.KL) || some.CE != want.CE || some.Same != want.Same {
		t.Errorf("of 5 tokens %+v, of all %+v: coarser classes have less KL", some, want)
	}
}

// Equal logits come in the order of their ids, and probabilities add up to 1.
func TestLikeliest(t *testing.T) {
	logits := []float32{1, 3, -200, 3, 2, 1, 1}
	for k := 1; k <= len(logits); k++ {
		ids, ln := make([]int32, k), make([]float32, k+1)
		if err := likeliest(ids, ln, logits); err != nil {
			t.Fatal(err)
		}
		want := []int32{1, 3, 4, 0, 5, 6, 2}
		if !slices.Equal(ids, want[:k]) {
			t.Errorf("the likeliest %d are %v, want %v", k, ids, want[:k])
		}
		sum, all := 0.0, 0.0
		for _, v := range ln {
			sum += math.Exp(float64(v))
		}
		for _, v := range logits {
			all += math.Exp(float64(v))
		}
		if p := math.Exp(float64(logits[ids[k-1]])) / all; math.Abs(sum-1) > 1e-6 || math.Abs(math.Exp(float64(ln[k-1]))-p) > 1e-6 {
			t.Errorf("of %d: %v, sum %v", k, ln, sum)
		}
	}
	r := rand.New(rand.NewPCG(5, 1))
	for range 200 {
		x := make([]float32, 1+r.IntN(60))
		order := make([]int32, len(x))
		for i := range x {
			x[i], order[i] = float32(r.IntN(12)), int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(x[b], x[a]) })
		k := 1 + r.IntN(len(x))
		ids := make([]int32, k)
		if err := likeliest(ids, make([]float32, k+1), x); err != nil || !slices.Equal(ids, order[:k]) {
			t.Fatalf("the likeliest %d of %v are %v, want %v (%v)", k, x, ids, order[:k], err)
		}
	}
	if err := likeliest(make([]int32, 1), make([]float32, 2), []float32{1, float32(math.NaN())}); err == nil {
		t.Error("a NaN went through")
	}
}
