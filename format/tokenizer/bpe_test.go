package tokenizer

import (
	"math/bits"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// mergeByDefinition joins the best pair, the leftmost of equals, until none is left.
func mergeByDefinition(parts []string, rank func(l, r string) (uint32, bool)) []string {
	for {
		best, at := uint32(noRank), -1
		for i := range len(parts) - 1 {
			if r, ok := rank(parts[i], parts[i+1]); ok && (at < 0 || r < best) {
				best, at = r, i
			}
		}
		if at < 0 {
			return parts
		}
		parts = append(append(parts[:at:at], parts[at]+parts[at+1]), parts[at+2:]...)
	}
}

func TestMergesFollowTheDefinition(t *testing.T) {
	word := rapid.StringMatching(`▁{0,2}[abé]{1,5}▁?`)
	rapid.Check(t, func(r *rapid.T) {
		words := rapid.SliceOfNDistinct(word, 0, 20, rapid.ID).Draw(r, "words")
		pieces := smallPieces(false, append([]string{"▁", "a", "b", "é"}, words...)...)
		for i := range pieces {
			pieces[i].Score = rapid.SampledFrom([]float32{0, -1, -2, -3}).Draw(r, "score")
		}
		tok, err := NewSentencePiece(pieces, Normalizer{}, smallSpecial)
		if err != nil {
			r.Fatal(err)
		}
		text := rapid.StringMatching(`[abé ]{0,40}`).Draw(r, "text")
		want := mergeByDefinition(strings.Split(strings.ReplaceAll(text, " ", spaceSymbol), ""), func(l, r string) (uint32, bool) {
			id := tok.model.(*spaceBPE).lookup(l + r)
			if id < 0 {
				return 0, false
			}
			return uint32(-pieces[id].Score), true
		})
		if diff := cmp.Diff(strings.Join(want, "|"), tokens(tok, tok.Encode(text))); diff != "" {
			r.Fatalf("%q, -want +got:\n%s", text, diff)
		}
	})
}

func TestListedMergesFollowTheDefinition(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		vocab := byteTokens()
		known := []string{"a", "b", "c", "Ġ"}
		rank := map[[2]string]uint32{}
		var merges []string
		for range rapid.IntRange(0, 20).Draw(r, "merges") {
			p := [2]string{rapid.SampledFrom(known).Draw(r, "l"), rapid.SampledFrom(known).Draw(r, "r")}
			if _, ok := rank[p]; ok {
				continue
			}
			rank[p] = uint32(len(merges))
			merges = append(merges, p[0]+" "+p[1])
			if joined := p[0] + p[1]; !contains(known, joined) {
				known = append(known, joined)
				vocab = append(vocab, Piece{Text: joined})
			}
		}
		tok, err := NewByteLevel(vocab, merges, "gpt-2", Special{BOS: -1, EOS: -1})
		if err != nil {
			r.Fatal(err)
		}
		text := rapid.StringMatching(`[abc ]{0,40}`).Draw(r, "text")
		var want []string
		for rest := text; rest != ""; {
			n := splitGPT2(rest)
			parts := strings.Split(strings.ReplaceAll(rest[:n], " ", "Ġ"), "")
			want = append(want, mergeByDefinition(parts, func(l, r string) (uint32, bool) {
				v, ok := rank[[2]string{l, r}]
				return v, ok
			})...)
			rest = rest[n:]
		}
		if diff := cmp.Diff(strings.Join(want, "|"), tokens(tok, tok.Encode(text))); diff != "" {
			r.Fatalf("%q, -want +got:\n%s", text, diff)
		}
	})
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// n symbols make at most 3n candidates: n-1 at first and two a merge, of which there are fewer than n.
// A heap of 3n costs log(3n) each: no text makes encoding quadratic.
func TestCandidatesGrowLinearly(t *testing.T) {
	tok := smallSentencePiece(t)
	m := tok.model.(*spaceBPE)
	for _, unit := range []string{"a", "▁", "ab", "aba", "b"} {
		for _, n := range []int{1000, 10_000, 100_000} {
			text := strings.Repeat(unit, n)
			var s scratch
			m.symbols(&s, text)
			symbols := len(s.symbols)
			m.run(&s, text)
			if s.pushed > 3*symbols {
				t.Errorf("%d of %q: %d candidates for %d symbols", n, unit, s.pushed, symbols)
			}
		}
	}
}

func TestHeap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var h candidates
		var sorted []uint64
		for _, k := range rapid.SliceOf(rapid.Uint64Range(0, 20)).Draw(r, "keys") {
			h.push(candidate{key: k, id: int32(k)})
			sorted = append(sorted, k)
			if bits.Len64(k) > 3 { // pop now and then
				c := h.pop()
				i := 0
				for j := range sorted {
					if sorted[j] < sorted[i] {
						i = j
					}
				}
				if c.key != sorted[i] || c.id != int32(c.key) {
					r.Fatalf("pop gives %d, smallest is %d", c.key, sorted[i])
				}
				sorted = append(sorted[:i], sorted[i+1:]...)
			}
		}
		for last := uint64(0); len(h) > 0; {
			c := h.pop()
			if c.key < last {
				r.Fatalf("%d after %d", c.key, last)
			}
			last = c.key
		}
	})
}

// A matcher finds the longest entry that begins a text, and the first of equals.
func TestMatcher(t *testing.T) {
	if newMatcher(nil) != nil || newMatcher([]entry{{text: ""}}) != nil {
		t.Error("a matcher of nothing")
	}
	entry1 := rapid.Custom(func(r *rapid.T) entry {
		return entry{text: rapid.StringMatching(`[ab\x{ff}]{0,4}`).Draw(r, "text"), id: rapid.Int32().Draw(r, "id")}
	})
	rapid.Check(t, func(r *rapid.T) {
		entries := rapid.SliceOf(entry1).Draw(r, "entries")
		text := rapid.StringMatching(`[ab\x{ff}]{1,8}`).Draw(r, "text")
		var want *entry
		for i, e := range entries {
			if e.text != "" && strings.HasPrefix(text, e.text) && (want == nil || len(e.text) > len(want.text)) {
				want = &entries[i]
			}
		}
		m := newMatcher(entries)
		if m == nil {
			if want != nil {
				r.Fatalf("no matcher for %v", entries)
			}
			return
		}
		if diff := cmp.Diff(want, m.longest(text), cmp.AllowUnexported(entry{}), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("%v on %q:\n%s", entries, text, diff)
		}
	})
}
