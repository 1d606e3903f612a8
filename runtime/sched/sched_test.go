package sched

import (
	"fmt"
	"maps"
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
	q.Logits = rapid.IntRange(0, prompt).Draw(w.T, "logits")
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
	if rapid.IntRange(0, 19).Draw(w.T, "fails") == 0 {
		for _, r := range next.Runs {
			for pos := r.From; pos < r.To; pos++ { // whatever the pass came to write
				w.memory[w.memory.slot(r.Sequence, pos)] = 0
			}
			w.s.Remove(r.Sequence)
			w.removed[r.Sequence] = true
		}
		return
	}
	w.s.Advance(next, tokens)
}

// Whatever arrives, leaves and fails, with however few pages: steps keep the budget and its
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

// strangers queues n sequences, each of a client that was never seen before.
func strangers(s *Scheduler, from, n int) (list []*Sequence) {
	for i := range n {
		q := &Sequence{ID: int64(from + i), Tokens: []int32{0}, Prompt: 1, MaxTokens: 5, Client: fmt.Sprint("stranger ", from+i)}
		s.Add(q)
		list = append(list, q)
	}
	return list
}

// Clients that have what others have, or left with nothing, are forgotten: a server sees many.
func TestClientsAreForgotten(t *testing.T) {
	s := New(Options{Budget: 8, Chunk: 8, Sequences: 2}, kvcache.NewPages(2))
	for i := range 1000 {
		list := strangers(s, 10*i, 3)
		s.Remove(list[1])
		s.Remove(list[1])
		for s.Waiting()+s.Running() > 0 {
			step := s.Next()
			s.Advance(step, make([]int32, len(step.Runs)))
		}
		if n := len(s.line.ends); n > 0 {
			t.Fatalf("%d clients are remembered that want nothing", n)
		}
	}
}

// A client that has had something is not held up for ever by those that have had nothing.
func TestStrangersStarveNobody(t *testing.T) {
	s := New(Options{Budget: 1, Chunk: 1, Sequences: 1}, kvcache.NewPages(2))
	known := &Sequence{Tokens: []int32{0}, Prompt: 1, MaxTokens: 20, Client: "known"}
	second := &Sequence{ID: 1, Tokens: []int32{0}, Prompt: 1, MaxTokens: 20, Client: "known"}
	s.Add(known)
	s.Add(second)
	for i := 0; !second.Done(); i++ {
		if i == 1000 {
			t.Fatal("the known client's second sequence never begins")
		}
		strangers(s, 10+i, max(0, 4-s.Waiting()))
		step := s.Next()
		s.Advance(step, make([]int32, len(step.Runs)))
	}
}

// What leaves the line before it begins costs its client nothing.
func TestLeavingIsFree(t *testing.T) {
	s := New(Options{Budget: 8, Chunk: 8, Sequences: 1}, kvcache.NewPages(8))
	add := func(id int64, client string) *Sequence {
		q := &Sequence{ID: id, Tokens: make([]int32, 10), Prompt: 10, MaxTokens: 10, Client: client}
		s.Add(q)
		return q
	}
	add(1, "a")
	gone := add(2, "a")
	s.Remove(gone)
	s.Remove(gone) // which is nothing
	if a := add(3, "a"); a.start != 20 {
		t.Errorf("the second of 20 tokens each starts at %d", a.start)
	}
}

// What leaves after it began has had its share.
func TestLeavingLate(t *testing.T) {
	s := New(Options{Budget: 200, Chunk: 200, Sequences: 2}, kvcache.NewPages(3))
	first := &Sequence{Tokens: make([]int32, 60), Prompt: 60, MaxTokens: 10, Logits: 60}
	second := &Sequence{ID: 1, Tokens: make([]int32, 60), Prompt: 60, MaxTokens: 10, Logits: 60}
	third := &Sequence{ID: 2, Tokens: make([]int32, 60), Prompt: 60, MaxTokens: 10, Logits: 60}
	for _, q := range []*Sequence{first, second, third} {
		s.Add(q)
	}
	for range 6 { // until both need a second page
		step := s.Next()
		s.Advance(step, make([]int32, len(step.Runs)))
	}
	if second.Pages != nil || !second.begun {
		t.Fatalf("the second was not preempted: it has pages %v", second.Pages)
	}
	before := maps.Clone(s.line.ends)
	s.Remove(second)
	if len(before) == 0 || !maps.Equal(before, s.line.ends) {
		t.Errorf("clients have tokens up to %v, then %v", before, s.line.ends)
	}
}

// An answer counts as a usual one, whatever it may come to.
func TestCost(t *testing.T) {
	for _, c := range [][3]int{{10, 20, 30}, {10, UsualAnswer, 10 + UsualAnswer}, {10, 1 << 20, 10 + UsualAnswer}} {
		if got := Cost(c[0], c[1]); got != int64(c[2]) {
			t.Errorf("a prompt of %d and an answer of up to %d cost %d tokens, want %d", c[0], c[1], got, c[2])
		}
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
