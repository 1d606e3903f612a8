package sample

import (
	"errors"
	"math"
)

// ErrNoToken means that no logit is a number above -Inf.
var ErrNoToken = errors.New("sample: no token has a finite logit: the model's output is broken, or logit_bias forbids every token")

// Sampler draws one request's tokens, one after another.
type Sampler struct {
	p    Params
	bias []bias
	step uint64 // tokens drawn

	// Where there are penalties: the tokens of prompt and answer, each once, and by
	// token twice the number of its places in the answer, plus 1 where it is among seen.
	seen  []int32
	count []uint32
}

type bias struct {
	id int32
	by float32
}

// New returns the sampler of a request with the given prompt, in a vocabulary of
// vocab tokens, that draws up to maxTokens. p was checked.
func New(p Params, vocab int, prompt []int32, maxTokens int) *Sampler {
	s := &Sampler{p: p}
	for id, by := range p.LogitBias {
		s.bias = append(s.bias, bias{id, by})
	}
	if p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1 || p.PresencePenalty != 0 || p.FrequencyPenalty != 0 {
		s.count = make([]uint32, vocab)
		s.seen = make([]int32, 0, min(vocab, len(prompt)+maxTokens))
		for _, id := range prompt {
			s.note(id, 0)
		}
	}
	return s
}

// note counts id, times more often in the answer.
func (s *Sampler) note(id int32, times uint32) {
	if s.count[id]&1 == 0 {
		s.count[id] |= 1
		s.seen = append(s.seen, id)
	}
	s.count[id] += 2 * times
}

// Work is the memory that drawing needs, shared by the samplers of one goroutine.
type Work struct {
	logits     []float32
	candidates []candidate
}

// NewWork returns the memory for a vocabulary of vocab tokens.
func NewWork(vocab int) *Work {
	return &Work{make([]float32, vocab), make([]candidate, 0, vocab)}
}

// Token draws the next token from logits [vocab], which it leaves as they are.
// Of equals the smallest id counts as the more likely; a NaN counts as -Inf. It
// fails only with ErrNoToken.
func (s *Sampler) Token(w *Work, logits []float32) (int32, error) {
	logits = s.adjust(w, logits)
	id := best(logits)
	if id < 0 {
		return 0, ErrNoToken
	}
	if s.p.Temperature > 0 && s.p.TopK != 1 {
		id = s.draw(w, logits, ceil(logits[id]))
	}
	if s.count != nil {
		s.note(id, 1)
	}
	s.step++
	return id, nil
}

// adjust returns logits with biases, then the repetition penalty, then the others
// applied, in w where there are any.
func (s *Sampler) adjust(w *Work, logits []float32) []float32 {
	if len(s.bias) == 0 && len(s.seen) == 0 {
		return logits
	}
	out := w.logits[:len(logits)]
	copy(out, logits)
	for _, b := range s.bias {
		out[b.id] += b.by
	}
	for _, id := range s.seen {
		v := float64(out[id])
		switch r := s.p.RepetitionPenalty; {
		case r == 0:
		case v > 0:
			v /= r
		default:
			v = float64(v * r)
		}
		if n := s.count[id] / 2; n > 0 {
			v -= float64(float64(n)*s.p.FrequencyPenalty) + s.p.PresencePenalty
		}
		out[id] = float32(v)
	}
	return out
}

// best returns the first largest logit's token, or -1 where all are -Inf or NaN.
func best(logits []float32) int32 {
	id, most := int32(-1), float32(math.Inf(-1))
	for i, v := range logits {
		if v > most {
			id, most = int32(i), v
		}
	}
	return id
}

// ceil makes +Inf the largest number, so that differences of logits are numbers.
func ceil(v float32) float64 { return float64(min(v, math.MaxFloat32)) }

// draw draws by temperature among what min-p, then top-k, then top-p leave.
func (s *Sampler) draw(w *Work, logits []float32, most float64) int32 {
	c := w.candidates[:0]
	for i, v := range logits {
		x := exp((ceil(v) - most) / s.p.Temperature)
		if x > 0 && x >= s.p.MinP {
			c = append(c, candidate{x, int32(i)})
		}
	}
	if s.p.TopK > 0 && s.p.TopK < len(c) {
		c = heapOf(c).take(func(n int, _ float64) bool { return n == s.p.TopK })
	}
	total := 0.0
	for _, x := range c {
		total += x.weight
	}
	if s.p.TopP > 0 && s.p.TopP < 1 {
		enough := float64(s.p.TopP * total)
		c = heapOf(c).take(func(_ int, sum float64) bool { return sum >= enough })
		total = 0
		for _, x := range c {
			total += x.weight
		}
	}
	target := float64(uniform(s.p.Seed, s.step) * total)
	sum := 0.0
	for _, x := range c {
		if sum += x.weight; sum > target {
			return x.id
		}
	}
	return c[len(c)-1].id // target rounded up to the total
}
