package sample

import (
	"errors"

	"github.com/llmqat/llmqat/kernels"
)

// ErrNoToken means that no logit is a number above -Inf.
var ErrNoToken = errors.New("sample: no token has a finite logit: the model's output is broken, or logit_bias forbids every token")

// Sampler draws one request's tokens, one after another.
type Sampler struct {
	p    Params
	next kernels.Draw // of the next token, but for the random bits
	bias []bias
	step uint64 // tokens drawn

	// Where there are penalties: the tokens of prompt and answer, each once, and by
	// token twice the number of its places in the answer, plus 1 where it is among seen.
	// They are made for the first token: requests that wait need no memory for them.
	penalties bool
	prompt    []int32
	vocab     int
	seen      []int32
	count     []uint32
}

type bias struct {
	id int32
	by float32
}

// New returns the sampler of a request with the given prompt, which stays as it is, in a
// vocabulary of vocab tokens. p was checked.
func New(p Params, vocab int, prompt []int32) *Sampler {
	s := &Sampler{p: p, next: p.draw(vocab), prompt: prompt, vocab: vocab}
	for id, by := range p.LogitBias {
		s.bias = append(s.bias, bias{id, by})
	}
	s.penalties = p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1 || p.PresencePenalty != 0 || p.FrequencyPenalty != 0
	return s
}

// begin counts the prompt's tokens.
func (s *Sampler) begin() {
	s.count = make([]uint32, s.vocab)
	for _, id := range s.prompt {
		s.note(id, 0)
	}
}

// note counts id, times more often in the answer.
func (s *Sampler) note(id int32, times uint32) {
	if s.count[id]&1 == 0 {
		s.count[id] |= 1
		s.seen = append(s.seen, id)
	}
	s.count[id] += 2 * times
}

// Token draws the next token from logits [vocab], which it leaves as they are.
// Of equals the smallest id counts as the more likely; a NaN counts as -Inf. It
// fails only with ErrNoToken.
func (s *Sampler) Token(w *Work, logits []float32) (int32, error) {
	if s.penalties && s.count == nil {
		s.begin()
	}
	if !w.set(s.adjust(w, logits)) {
		return 0, ErrNoToken
	}
	s.next.Random = random(s.p.Seed, s.step)
	id := w.draw(&s.next)
	if s.penalties {
		s.note(id, 1)
	}
	s.step++
	return id, nil
}

// Draw returns how a device draws the token that Token would return, of logits that
// nothing adjusts; ok is false where penalties or biases do.
func (s *Sampler) Draw() (d kernels.Draw, ok bool) {
	s.next.Random = random(s.p.Seed, s.step)
	return s.next, !s.penalties && len(s.bias) == 0
}

// Drew takes note of the token that a device drew as Draw said. It fails as Token does.
func (s *Sampler) Drew(id int32) error {
	if id == kernels.NoToken {
		return ErrNoToken
	}
	s.step++
	return nil
}

// adjust returns logits with biases, then the repetition penalty, then the others
// applied, in w where there are any.
func (s *Sampler) adjust(w *Work, logits []float32) []float32 {
	if len(s.bias) == 0 && len(s.seen) == 0 {
		return logits
	}
	out := w.adjusted[:len(logits)]
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
