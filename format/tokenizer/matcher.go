package tokenizer

import (
	"slices"
	"sort"
	"strings"
)

// matcher finds the longest of a set of strings that begins a text, by narrowing a range of their sorted
// list one byte at a time: no memory beside the strings.
type matcher struct {
	entries []entry
	first   [257]int32 // entries[first[c]:first[c+1]] begin with byte c
}

// entry is a string to find. The flags are those of Hugging Face's AddedToken.
type entry struct {
	text                       string
	id                         int32
	lstrip, rstrip, singleWord bool
}

// newMatcher keeps the first of equal strings and drops empty ones; nil if none remains.
func newMatcher(entries []entry) *matcher {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.text == "" })
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.text, b.text) })
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.text == b.text })
	if len(entries) == 0 {
		return nil
	}
	m := &matcher{entries: entries}
	for _, e := range entries {
		m.first[int(e.text[0])+1]++
	}
	for c := range 256 {
		m.first[c+1] += m.first[c]
	}
	return m
}

// finder returns longest as a function of a text and a place in it; of no matcher it is nil.
func (m *matcher) finder() func(text string, i int) *entry {
	if m == nil {
		return nil
	}
	return func(text string, i int) *entry { return m.longest(text[i:]) }
}

// longest returns the longest entry that begins s, or nil. s is not empty.
func (m *matcher) longest(s string) *entry {
	lo, hi := int(m.first[s[0]]), int(m.first[int(s[0])+1])
	var best *entry
	for n := 1; lo < hi; n++ {
		// entries[lo:hi] share their first n bytes with s; the shortest stands first.
		if len(m.entries[lo].text) == n {
			best = &m.entries[lo]
			lo++
		}
		if n == len(s) {
			break
		}
		in := m.entries[lo:hi]
		hi = lo + sort.Search(len(in), func(i int) bool { return in[i].text[n] > s[n] })
		lo += sort.Search(len(in), func(i int) bool { return in[i].text[n] >= s[n] })
	}
	return best
}
