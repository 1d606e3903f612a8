package sched

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Whatever arrives and leaves: steps keep the budget and its order, every token is
// computed once and in order, every sequence ends, and every page comes back.
func TestEverySequenceEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 5).Draw(t, "sequences")
		budget := rapid.IntRange(most, 80).Draw(t, "budget")
		pages := kvcache.NewPages(rapid.IntRange(1, 8).Draw(t, "pages"))
		s := New(budget, most, pages)
		var all []*Sequence
		computed := map[*Sequence]int{}
		removed := map[*Sequence]bool{}
		for step := 0; step < 60 || s.Waiting()+s.Running() > 0; step++ {
			if step > 10_000 {
				t.Fatalf("still %d waiting and %d running", s.Waiting(), s.Running())
			}
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 4 && step < 60:
				room := pages.Total() * kernels.PageTokens
				prompt := rapid.IntRange(1, room).Draw(t, "prompt")
				q := &Sequence{ID: int64(len(all)), Tokens: make([]int32, prompt), Prompt: prompt,
					MaxTokens: rapid.IntRange(0, room-prompt).Draw(t, "max"), EOS: []int32{5}}
				s.Add(q)
				all = append(all, q)
			case op == 4 && len(all) > 0:
				if q := all[rapid.IntRange(0, len(all)-1).Draw(t, "removed")]; !q.Done() {
					s.Remove(q)
					removed[q] = true
				}
			}
			next := s.Next()
			if n := next.Tokens(); n > budget || n == 0 && s.Running() > 0 {
				t.Fatalf("a step of %d tokens with %d running, budget %d", n, s.Running(), budget)
			}
			if n := s.Running(); n > most {
				t.Fatalf("%d sequences run, want at most %d", n, most)
			}
			var tokens []int32
			prefill := false
			for _, r := range next {
				if removed[r.Sequence] || r.From != computed[r.Sequence] || r.To <= r.From {
					t.Fatalf("seq %d runs [%d,%d), %d computed, removed %v", r.ID, r.From, r.To, computed[r.Sequence], removed[r.Sequence])
				}
				if kvcache.Count(r.To) > len(r.Pages) {
					t.Fatalf("seq %d runs to %d with %d pages", r.ID, r.To, len(r.Pages))
				}
				if r.From < r.Prompt {
					prefill = true
				} else if prefill {
					t.Fatalf("seq %d decodes after a prefill chunk", r.ID)
				}
				computed[r.Sequence] = r.To
				if r.Samples() {
					tokens = append(tokens, rapid.Int32Range(0, 20).Draw(t, "token"))
				}
			}
			s.Advance(next, tokens)
		}
		if pages.Free() != pages.Total() {
			t.Fatalf("%d of %d pages are free at the end", pages.Free(), pages.Total())
		}
		for _, q := range all {
			if !q.Done() && !removed[q] {
				t.Fatalf("seq %d never ended", q.ID)
			}
		}
	})
}

func TestAddRefusesWhatNeverFits(t *testing.T) {
	s := New(8, 2, kvcache.NewPages(1))
	defer func() {
		if recover() == nil {
			t.Error("a sequence of 2 pages was queued for a cache of 1")
		}
	}()
	s.Add(&Sequence{Tokens: make([]int32, 60), Prompt: 60, MaxTokens: 6})
}
