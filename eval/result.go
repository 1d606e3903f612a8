package eval

import (
	"math"
	"slices"
)

// Estimate is a mean over tokens, with its standard error where there are two windows
// or more. The error takes windows for the independent samples: tokens of one text
// are not.
type Estimate struct {
	Value float64 `json:"value"`
	SE    float64 `json:"se,omitempty"`
}

// Result is how a model did on windows of text, and how near it came to its teacher.
type Result struct {
	Windows    int      `json:"windows"`
	Tokens     int      `json:"tokens"`     // predicted: all but each window's first
	NLL        Estimate `json:"nll"`        // -ln p of the token that follows, nats
	Perplexity Estimate `json:"perplexity"` // exp of that

	Each []Window `json:"each,omitempty"` // window by window

	*Comparison // nil where there was no teacher
}

// Comparison says how near a student came to its teacher on the same text.
type Comparison struct {
	TeacherNLL        Estimate `json:"teacher_nll"`
	TeacherPerplexity Estimate `json:"teacher_perplexity"`
	DeltaNLL          Estimate `json:"delta_nll"` // NLL less the teacher's: ln of the perplexities' ratio
	KL                Estimate `json:"kl"`        // KL(teacher ‖ student), nats
	KL99              float64  `json:"kl_99"`     // 99 % of the tokens have no more
	KLMax             float64  `json:"kl_max"`
	Top1              Estimate `json:"top1"`        // part of the tokens with the teacher's likeliest token first
	RMSDeltaP         Estimate `json:"rms_delta_p"` // root of the mean of (p - teacher's p)² of the token that follows
}

// Window is one window's means.
type Window struct {
	Tokens     int     `json:"tokens"`
	NLL        float64 `json:"nll"`
	TeacherNLL float64 `json:"teacher_nll,omitempty"`
	KL         float64 `json:"kl,omitempty"`
}

// sums are one window's, in the order of its tokens.
type sums struct {
	n                                  int
	nll, teacherNLL, kl, same, deltaP2 float64
}

func (s *sums) add(t token) {
	s.n++
	s.nll += t.nll
	s.teacherNLL += t.teacherNLL
	s.kl += t.kl
	if t.same {
		s.same++
	}
	s.deltaP2 += t.deltaP * t.deltaP
}

// estimate is the mean of what of picks over all tokens. Windows may differ in length,
// so it is a ratio of two sums, whose variance is that of Σ(sum - mean·n) over windows.
func estimate(windows []sums, of func(s *sums) float64) Estimate {
	sum, n := 0.0, 0
	for i := range windows {
		sum += of(&windows[i])
		n += windows[i].n
	}
	e := Estimate{Value: sum / float64(n)}
	if len(windows) > 1 {
		square := 0.0
		for i := range windows {
			d := of(&windows[i]) - e.Value*float64(windows[i].n)
			square += d * d
		}
		w := float64(len(windows))
		e.SE = math.Sqrt(square*w/(w-1)) / float64(n)
	}
	return e
}

// exp is e of the mean, and its error to first order.
func exp(e Estimate) Estimate {
	v := min(math.Exp(e.Value), math.MaxFloat64) // JSON has no infinity
	return Estimate{v, min(v*e.SE, math.MaxFloat64)}
}

// root is the mean's root, and its error to first order.
func root(e Estimate) Estimate {
	v := math.Sqrt(e.Value)
	if v == 0 {
		return Estimate{}
	}
	return Estimate{v, e.SE / (2 * v)}
}

// result sums up; kl are the tokens' and is sorted here, nil without a teacher.
func result(windows []sums, kl []float64) *Result {
	r := &Result{Windows: len(windows)}
	for _, w := range windows {
		n := float64(w.n)
		r.Tokens += w.n
		r.Each = append(r.Each, Window{w.n, w.nll / n, w.teacherNLL / n, w.kl / n})
	}
	r.NLL = estimate(windows, func(s *sums) float64 { return s.nll })
	r.Perplexity = exp(r.NLL)
	if len(kl) == 0 {
		return r
	}
	slices.Sort(kl)
	c := &Comparison{
		TeacherNLL: estimate(windows, func(s *sums) float64 { return s.teacherNLL }),
		DeltaNLL:   estimate(windows, func(s *sums) float64 { return s.nll - s.teacherNLL }),
		KL:         estimate(windows, func(s *sums) float64 { return s.kl }),
		KL99:       kl[(99*len(kl)+99)/100-1], // the nearest rank
		KLMax:      kl[len(kl)-1],
		Top1:       estimate(windows, func(s *sums) float64 { return s.same }),
		RMSDeltaP:  root(estimate(windows, func(s *sums) float64 { return s.deltaP2 })),
	}
	c.TeacherPerplexity = exp(c.TeacherNLL)
	r.Comparison = c
	return r
}
