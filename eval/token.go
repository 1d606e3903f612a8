package eval

import "math"

// token is what is measured of one predicted token. All of it is float64, of one
// token's logits alone and in the order of ids, so it does not depend on threads.
type token struct {
	nll, teacherNLL float64 // -ln p of the token that follows
	kl              float64 // KL(teacher ‖ student)
	same            bool    // the likeliest token is the teacher's
	deltaP          float64 // student's p of the token that follows, less the teacher's
}

// softmax is the normalizer of a row of logits: p[i] = exp(logits[i] - lse).
type softmax struct {
	lse float64
	top int // the likeliest id, of equals the smallest
}

func newSoftmax(logits []float32) softmax {
	s := softmax{}
	for i, v := range logits {
		if v > logits[s.top] {
			s.top = i
		}
	}
	top := float64(logits[s.top])
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	s.lse = top + math.Log(sum)
	return s
}

// finite is false where a logit is NaN or +Inf, which the normalizer keeps, or all are -Inf.
func (s softmax) finite() bool { return !math.IsNaN(s.lse) && !math.IsInf(s.lse, 0) }

func (s softmax) nll(logits []float32, id int32) float64 { return s.lse - float64(logits[id]) }

// divergence is KL(t ‖ s) = Σ p_t·(ln p_t - ln p_s).
func divergence(teacher, student []float32, t, s softmax) float64 {
	kl := 0.0
	for i, v := range teacher {
		if lp := float64(v) - t.lse; lp > -745 { // else exp is 0, and so is the limit of p·ln p
			kl += math.Exp(lp) * (lp - (float64(student[i]) - s.lse))
		}
	}
	return kl
}

// measure returns what target's logits say; teacher is nil where there is none. ok is
// false where they are no numbers.
func measure(student, teacher []float32, target int32) (m token, ok bool) {
	s := newSoftmax(student)
	m.nll = s.nll(student, target)
	if teacher == nil {
		return m, s.finite() && finite(m.nll)
	}
	t := newSoftmax(teacher)
	m.teacherNLL = t.nll(teacher, target)
	m.kl = divergence(teacher, student, t, s)
	m.same = s.top == t.top
	m.deltaP = math.Exp(-m.nll) - math.Exp(-m.teacherNLL)
	return m, s.finite() && t.finite() && finite(m.nll) && finite(m.teacherNLL) && finite(m.kl)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
