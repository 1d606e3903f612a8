package load

import (
	"math/rand/v2"
	"strings"
	"time"
)

// request is one to be sent.
type request struct {
	due    time.Duration // from the round's start; 0 where a request follows another
	prompt any           // []int or string, as JSON has it
	input  int           // tokens of the prompt, about, where it is text
	output int
	prefix int // which one it begins with, from 1; 0: none
	seed   uint64
}

// plan makes the requests of one measurement in one round: the same ones, in the same
// order, for every server. Other rounds and levels have other prompts and prefixes, so
// that no cache of prefixes has seen them.
type plan struct {
	o         *Options
	rate      float64
	perToken  float64 // words
	arrivals  *rand.Rand
	lengths   *rand.Rand
	contents  *rand.Rand
	prefixes  []any
	made      int
	due       time.Duration
	remaining int // requests; below 0: no end
}

// newPlan returns the plan of a round and level, and that of the warm-up where they are -1.
func (o *Options) newPlan(round, index int, l level, wordsPerToken float64) *plan {
	stream := func(what uint64) *rand.Rand {
		return rand.New(rand.NewPCG(o.Seed, uint64(round+1)<<32|uint64(index+1)<<8|what))
	}
	p := &plan{o: o, rate: l.rate, perToken: wordsPerToken, arrivals: stream(0), lengths: stream(1), contents: stream(2), remaining: o.Requests}
	if o.Duration > 0 {
		p.remaining = -1
	}
	if o.Prefix > 0 {
		for range o.Prefixes {
			p.prefixes = append(p.prefixes, p.content(o.Prefix))
		}
	}
	return p
}

// next returns the next request; ok is false after the last.
func (p *plan) next() (r request, ok bool) {
	if p.remaining == 0 {
		return r, false
	}
	p.remaining--
	if p.rate > 0 { // the gaps of a Poisson process are exponential
		p.due += time.Duration(p.arrivals.ExpFloat64() / p.rate * float64(time.Second))
	}
	input := p.o.Input.draw(p.lengths)
	r = request{due: p.due, input: p.o.Prefix + input, output: p.o.Output.draw(p.lengths), seed: p.o.Seed + uint64(p.made)}
	r.prompt = p.content(input)
	if p.prefixes != nil {
		i := p.lengths.IntN(len(p.prefixes))
		r.prefix, r.prompt = i+1, join(p.prefixes[i], r.prompt)
	}
	p.made++
	return r, true
}

// content returns n random tokens, or words that are about as many.
func (p *plan) content(n int) any {
	if !p.o.Text {
		ids := make([]int, n)
		low := p.o.Vocab / 2 // what ends and begins texts stands below, in most vocabularies
		for i := range ids {
			ids[i] = low + p.contents.IntN(p.o.Vocab-low)
		}
		return ids
	}
	list := make([]string, max(1, int(float64(n)*p.perToken+0.5)))
	for i := range list {
		list[i] = p.o.Words[p.contents.IntN(len(p.o.Words))]
	}
	return strings.Join(list, " ")
}

func join(prefix, rest any) any {
	if ids, ok := prefix.([]int); ok {
		return append(ids[:len(ids):len(ids)], rest.([]int)...)
	}
	return prefix.(string) + " " + rest.(string)
}
