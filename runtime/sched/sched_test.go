package sched

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmqat/llmqat/runtime/kvcache"
)

// memory stands for the device's pages: what a slot's K and V were computed from, which is
// the key-like hash of all tokens up to it.
type memory map[int32]uint64

func (m memory) slot(q *Sequence, pos int) int32 {
	return q.Pages[pos/kvcache.PageTokens]*kvcache.PageTokens + int32(pos%kvcache.PageTokens)
}

// run does what a pass does with r, and reports the first earlier position whose K and V
// are not those of r's tokens, or -1.
func (m memory) run(r Run) int {
	hash := uint64(14695981039346656037)
	for pos, id := range r.Tokens[:r.To] {
		hash = (hash ^ uint64(id)) * 1099511628211
		if pos >= r.From {
			m[m.slot(r.Sequence, pos)] = hash
		} else if m[m.slot(r.Sequence, pos)] != hash {
			return pos
		}
	}
	return -1
}

func (m memory) copyPage(c Copy) {
	for i := range int32(kvcache.PageTokens) {
		m[c.To*kvcache.PageTokens+i] = m[c.From*kvcache.PageTokens+i]
	}
}

// world is a scheduler in a random life.
type world struct {
	*rapid.T
	s        *Scheduler
	pages    *kvcache.Pages
	memory   memory
	all      []*Sequence
	removed  map[*Sequence]bool
	computed map[*Sequence]int
}

func newWorld(t *rapid.T) *world {
	most := rapid.IntRange(1, 5).Draw(t, "sequences")
	budget := rapid.IntRange(most, 200).Draw(t, "budget")
	pages := kvcache.NewPages(rapid.IntRange(1, 10).Draw(t, "pages"))
	s := New(Options{Budget: budget, Chunk: rapid.IntRange(1, budget).Draw(t, "chunk"), Sequences: most}, pages)
	return &world{t, s, pages, memory{}, nil, map[*Sequence]bool{}, map[*Sequence]int{}}
}

// add adds a sequence that may begin as another does.
func (w *world) add() {
	room := w.pages.Total() * kvcache.PageTokens
	prompt := rapid.IntRange(1, room).Draw(w.T, "prompt")
	q := &Sequence{ID: int64(len(w.all)), Tokens: make([]int32, prompt), Prompt: prompt,
		MaxTokens: rapid.IntRange(0, room-prompt).Draw(w.T, "max"), EOS: []int32{5},
		Priority: rapid.IntRange(0, 1).Draw(w.T, "priority"), Client: rapid.SampledFrom([]string{"a", "b"}).Draw(w.T, "client"),
		Salt: rapid.SampledFrom([]string{"", "", "s"}).Draw(w.T, "salt")}
	for i := range q.Tokens {
		q.Tokens[i] = int32(1000*len(w.all) + i)
	}
	if len(w.all) > 0 {
		like := rapid.SampledFrom(w.all).Draw(w.T, "like").Tokens
		copy(q.Tokens[:rapid.IntRange(0, min(prompt, len(like))).Draw(w.T, "same")], like)
	}
	q.Unshared = q.MaxTokens == 0
	w.s.Add(q)
	w.all = append(w.all, q)
}

func (w *world) step() {
	next := w.s.Next()
	if n := next.Tokens(); n > w.s.o.Budget || n == 0 && w.s.Running() > 0 {
		w.Fatalf("a step of %d tokens with %d running, budget %d", n, w.s.Running(), w.s.o.Budget)
	}
	if n := w.s.Running(); n > w.s.o.Sequences {
		w.Fatalf("%d sequences run, want at most %d", n, w.s.o.Sequences)
	}
	for _, c := range next.Copies {
		w.memory.copyPage(c)
	}
	var tokens []int32
	prompts, decodes := 0, 0
	for _, r := range next.Runs {
		if w.removed[r.Sequence] || r.To <= r.From || r.To > len(r.Tokens) || kvcache.Count(r.To) > len(r.Pages) {
			w.Fatalf("seq %d runs [%d,%d) of %d with %d pages, removed %v", r.ID, r.From, r.To, len(r.Tokens), len(r.Pages), w.removed[r.Sequence])
		}
		if at := w.memory.run(r); at >= 0 {
			w.Fatalf("seq %d runs [%d,%d), and finds something else's K and V at %d", r.ID, r.From, r.To, at)
		}
		if r.decoding() {
			if decodes++; prompts > 0 {
				w.Fatalf("seq %d decodes after a prefill chunk", r.ID)
			}
		} else {
			prompts += r.To - r.From
		}
		if r.Samples() {
			tokens = append(tokens, rapid.Int32Range(0, 20).Draw(w.T, "token"))
		}
	}
	if decodes > 0 && prompts > w.s.o.Chunk {
		w.Fatalf("%d tokens of prompts beside %d that decode, want at most %d", prompts, decodes, w.s.o.Chunk)
	}
	w.s.Advance(next, tokens)
}

// Whatever arrives and leaves, with however few pages: steps keep the budget and its
// order, every token is computed over the K and V of those before it, every sequence
// ends, and every page comes back.
func TestEverySequenceEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for step := 0; step < 60 || w.s.Waiting()+w.s.Running() > 0; step++ {
			if step > 20_000 {
				t.Fatalf("still %d waiting and %d running", w.s.Waiting(), w.s.Running())
			}
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 4 && step < 60:
				w.add()
			case op == 4 && len(w.all) > 0:
				if q := rapid.SampledFrom(w.all).Draw(t, "removed"); !q.Done() {
					w.s.Remove(q)
					w.removed[q] = true
				}
			}
			w.step()
		}
		if w.pages.Free() != w.pages.Total() {
			t.Fatalf("%d of %d pages are free at the end", w.pages.Free(), w.pages.Total())
		}
		for _, q := range w.all {
			if !q.Done() && !w.removed[q] {
				t.Fatalf("seq %d never ended", q.ID)
			}
		}
	})
}

// The first in line is never preempted, so all come to an end; this is what preemption
// chooses by.
func TestOrderOfTheLine(t *testing.T) {
	s := New(Options{Budget: 8, Chunk: 8, Sequences: 2}, kvcache.NewPages(8))
	add := func(id int64, client string, priority int) *Sequence {
		q := &Sequence{ID: id, Tokens: make([]int32, 10), Prompt: 10, MaxTokens: 10, Client: client, Priority: priority}
		s.Add(q)
		return q
	}
	a1, a2, a3 := add(1, "a", 0), add(2, "a", 0), add(3, "a", 0)
	b1, b2 := add(4, "b", 0), add(5, "b", 0)
	urgent, later := add(6, "a", -1), add(7, "c", 1)
	if want := []*Sequence{urgent, a1, b1, a2, b2, a3, later}; !slices.Equal(s.waiting, want) {
		var ids []int64
		for _, q := range s.waiting {
			ids = append(ids, q.ID)
		}
		t.Errorf("the line is %v, want 6 1 4 2 5 3 7", ids)
	}
}

// Clients that are even with the others are forgotten: a server sees many.
func TestClientsAreForgotten(t *testing.T) {
	l := newLine()
	for i := range 5 * manyClients {
		q := &Sequence{ID: int64(i), Client: string(rune(i)), Prompt: 1, start: 0}
		l.join(q)
		l.served(&Sequence{start: q.start + 1})
	}
	if n := len(l.ends); n > manyClients {
		t.Errorf("%d clients are remembered, want at most %d", n, manyClients)
	}
}

func TestAddRefusesWhatNeverFits(t *testing.T) {
	s := New(Options{Budget: 8, Chunk: 8, Sequences: 2}, kvcache.NewPages(1))
	defer func() {
		if recover() == nil {
			t.Error("a sequence of 2 pages was queued for a cache of 1")
		}
	}()
	s.Add(&Sequence{Tokens: make([]int32, 60), Prompt: 60, MaxTokens: 6})
}
