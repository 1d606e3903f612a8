package task

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Protocol is a convention of scoring.
type Protocol string

const (
	LMEval Protocol = "lm-eval" // lm-evaluation-harness'
	LLaMA  Protocol = "llama"   // of the paper: by characters, or by P(choice | "Answer:")
)

// question is an item of a set and the requests that answer it.
type question struct {
	set, item int
	choices   []int // each choice's
	alone     []int // each choice's after "Answer:", nil where nobody needs it
	cut       bool  // some of them did not fit
}

// plan is all requests that answer all questions, each once.
type plan struct {
	sets      []*Set
	protocols []Protocol
	lengths   [][][]int // of choices, by set and item
	sums      []string  // of each set's prompts
	questions []question
	requests  []score.Request
}

func newPlan(sets []*Set, protocols []Protocol, tok *tokenizer.Tokenizer, maxTokens int) (*plan, error) {
	p := &plan{sets: sets, protocols: protocols}
	e := &encoder{tok: tok, max: maxTokens}
	known := map[[sha256.Size]byte]int{}
	for n, s := range sets {
		sum := sha256.New()
		lengths := make([][]int, len(s.Items))
		for i := range s.Items {
			asked, err := s.prompt(i)
			if err != nil {
				return nil, err
			}
			asked.sum(sum, s.Items[i].Gold)
			lengths[i] = asked.lengths
			q := question{set: n, item: i}
			ask := func(context, continuation string) (int, error) {
				r, cut, err := e.request(context, continuation)
				q.cut = q.cut || cut
				key := keyOf(r)
				at, ok := known[key]
				if !ok {
					at = len(p.requests)
					known[key], p.requests = at, append(p.requests, r)
				}
				return at, err
			}
			for c := range asked.contexts {
				at, err := ask(asked.contexts[c], asked.continuations[c])
				if err != nil {
					return nil, fmt.Errorf("%s: item %d: %w", s.Path, i, err)
				}
				q.choices = append(q.choices, at)
			}
			for c := range asked.continuations {
				if !s.divides(protocols) {
					break
				}
				at, err := ask("Answer:", asked.continuations[c])
				if err != nil {
					return nil, fmt.Errorf("%s: item %d: %w", s.Path, i, err)
				}
				q.alone = append(q.alone, at)
				// Asked with the question whose turn comes first, lest all items wait for them.
				if r, with := &p.requests[at], p.requests[q.choices[0]].Context; r.With == nil || slices.Compare(with, r.With) < 0 {
					r.With = with
				}
			}
			p.questions = append(p.questions, q)
		}
		p.lengths = append(p.lengths, lengths)
		p.sums = append(p.sums, fmt.Sprintf("%x", sum.Sum(nil)))
	}
	return p, nil
}

// Hash is of all that is asked: every item after its examples, its choices and which of them is right.
func (s *Set) Hash() (string, error) {
	sum := sha256.New()
	for i := range s.Items {
		asked, err := s.prompt(i)
		if err != nil {
			return "", err
		}
		asked.sum(sum, s.Items[i].Gold)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// sum adds the item, of which gold is right, to a hash.
func (p *prompt) sum(w io.Writer, gold int) {
	for c := range p.contexts {
		fmt.Fprintf(w, "%q %q %d\n", p.contexts[c], p.continuations[c], gold)
	}
}

// divides says whether a protocol wants P(choice | "Answer:") of the set's items.
func (s *Set) divides(protocols []Protocol) bool {
	for _, p := range protocols {
		if p == LLaMA && s.alone {
			return true
		}
	}
	return false
}

// keyOf is equal for equal requests.
func keyOf(r score.Request) [sha256.Size]byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(r.Context)))
	for _, id := range r.Context {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	for _, id := range r.Continuation {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return sha256.Sum256(b)
}
