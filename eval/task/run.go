package task

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Model is what is asked.
type Model struct {
	Name      string // for messages
	Scorer    score.Scorer
	Tokenizer *tokenizer.Tokenizer
	ID        string // tells it from others, in a file of items
}

// RunOptions are how.
type RunOptions struct {
	Protocols []Protocol
	Items     string // file to which each item's scores are appended, and from which a run goes on; "": none

	// Progress, where it is not nil, is called with tokens.
	Progress func(done, total int64)
}

// answer is what a model makes of an item.
type answer struct {
	logprobs []float64 // of each choice
	greedy   []bool
	alone    []float64 // of each choice after "Answer:", where a protocol wants it
}

// Answers are a model's to all items of some sets.
type Answers struct {
	Found int // of them stood in the file of items before

	sets      []*Set
	protocols []Protocol
	lengths   [][][]int
	answers   [][]answer // by set and item
	cut       []int      // items of each set that did not fit into the context
}

// Run asks a model all items of the sets. Equal requests are scored once.
func Run(ctx context.Context, m Model, sets []*Set, o RunOptions) (*Answers, error) {
	p, err := Prepare(m, sets, o)
	if err != nil {
		return nil, err
	}
	return p.Run(ctx)
}

// Prepared is what a model is to be asked, with the file of items open.
type Prepared struct {
	scorer   score.Scorer
	plan     *plan
	answers  *Answers
	items    *itemsFile // nil where there is none
	progress func(done, total int64)
}

// Prepare finds what Run would find wrong before it asks anything. Run or Close ends it.
func Prepare(m Model, sets []*Set, o RunOptions) (*Prepared, error) {
	if m.Tokenizer == nil {
		return nil, fmt.Errorf("%s: no tokenizer, to read the tasks with: make it again by llmqat quantize --tokenizer FILE", m.Name)
	}
	plan, err := newPlan(sets, o.Protocols, m.Tokenizer, m.Scorer.MaxTokens())
	if err != nil {
		return nil, err
	}
	a := &Answers{sets: sets, protocols: o.Protocols, lengths: plan.lengths, cut: make([]int, len(sets))}
	for _, s := range sets {
		a.answers = append(a.answers, make([]answer, len(s.Items)))
	}
	for i := range plan.questions {
		if plan.questions[i].cut {
			a.cut[plan.questions[i].set]++
		}
	}
	p := &Prepared{scorer: m.Scorer, plan: plan, answers: a, progress: o.Progress}
	if o.Items == "" {
		return p, nil
	}
	var found map[place]answer
	if p.items, found, err = openItems(o.Items, plan, m.ID, m.Scorer.MaxTokens()); err != nil {
		return nil, err
	}
	for at, is := range found {
		a.answers[at.set][at.item] = is
	}
	a.Found = len(found)
	return p, nil
}

// Run asks.
func (p *Prepared) Run(ctx context.Context) (_ *Answers, err error) {
	defer func() { err = errors.Join(err, p.Close()) }()
	keep := func(*question, answer) error { return nil }
	if p.items != nil {
		keep = p.items.write
	}
	if err := p.plan.score(ctx, p.scorer, p.answers, keep, p.progress); err != nil {
		return nil, err
	}
	return p.answers, nil
}

// Close closes the file of items.
func (p *Prepared) Close() error {
	if p.items == nil {
		return nil
	}
	f := p.items
	p.items = nil
	return f.close()
}

// score asks what a has no answers to yet.
func (p *plan) score(ctx context.Context, s score.Scorer, a *Answers, keep func(*question, answer) error, progress func(done, total int64)) error {
	var open []score.Request
	var waiting [][]*question // for each of these
	left := map[*question]int{}
	place := map[int]int{} // of a request of the plan in open
	for i := range p.questions {
		q := &p.questions[i]
		if a.answers[q.set][q.item].logprobs != nil {
			continue
		}
		for _, r := range append(append([]int{}, q.choices...), q.alone...) {
			at, ok := place[r]
			if !ok {
				at = len(open)
				place[r], open, waiting = at, append(open, p.requests[r]), append(waiting, nil)
			}
			waiting[at] = append(waiting[at], q)
			left[q]++
		}
	}
	if len(open) == 0 {
		return nil
	}
	cost, total := costs(open)
	scores := make([]score.Score, len(open))
	done := int64(0)
	return s.Score(ctx, open, func(i int, is score.Score) error {
		if math.IsNaN(is.Logprob) || math.IsInf(is.Logprob, 0) {
			q := waiting[i][0]
			return fmt.Errorf("%s: item %d: a choice has ln p = %v: is the model whole (llmqat inspect --verify)?", p.sets[q.set].Path, q.item, is.Logprob)
		}
		scores[i] = is
		if done += cost[i]; progress != nil {
			progress(done, total)
		}
		for _, q := range waiting[i] {
			if left[q]--; left[q] > 0 {
				continue
			}
			var w answer
			for _, r := range q.choices {
				w.logprobs = append(w.logprobs, scores[place[r]].Logprob)
				w.greedy = append(w.greedy, scores[place[r]].Greedy)
			}
			for _, r := range q.alone {
				w.alone = append(w.alone, scores[place[r]].Logprob)
			}
			a.answers[q.set][q.item] = w
			if err := keep(q, w); err != nil {
				return err
			}
		}
		return nil
	})
}

// costs are the tokens of each request; a context that the one before has, too, counts once.
func costs(requests []score.Request) (each []int64, total int64) {
	var last []int32
	for _, r := range requests {
		c := int64(len(r.Continuation))
		if len(last) != len(r.Context) || &last[0] != &r.Context[0] {
			c += int64(len(r.Context))
		}
		last = r.Context
		each, total = append(each, c), total+c
	}
	return each, total
}
