package kvcache

import (
	"fmt"
	"slices"
)

// Publish says that page id holds K and V of tokens, up to PageTokens of them, which
// follow the prefix named after. From now on Find and Longest know it. The page's
// holder may go on writing behind them, and publish it again with more. Where another
// page holds the same whole page of tokens, that one stays the known one.
func (p *Pages) Publish(id int32, after Key, tokens []int32) {
	if len(tokens) == 0 || len(tokens) > PageTokens {
		panic(fmt.Sprintf("kvcache: %d tokens of a page of %d", len(tokens), PageTokens))
	}
	p.held(id)
	p.index.put(id, after, tokens)
}

// Find returns the page that ends the prefix named key.
func (p *Pages) Find(key Key) (id int32, ok bool) {
	id, ok = p.index.whole[key]
	return id, ok
}

// Longest returns, of the pages that follow the prefix named after, one that begins
// with as many of tokens as any, and how many those are.
func (p *Pages) Longest(after Key, tokens []int32) (id int32, n int) {
	followers := p.index.followers[after]
	for i := range min(len(followers), maxFollowers) {
		f := followers[len(followers)-1-i]
		if m := common(p.index.entries[f].tokens, tokens); m > n {
			id, n = f, m
		}
	}
	return id, n
}

// maxFollowers bounds Longest's work: all first pages follow the empty prefix.
const maxFollowers = 256

// common returns the number of tokens that a and b begin with alike.
func common(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// index knows what published pages hold.
type index struct {
	entries   []entry         // [pages]
	whole     map[Key]int32   // by the key that a whole page ends
	followers map[Key][]int32 // by the key that a page follows, the one published last at the end
}

// entry is a published page: its tokens are not empty.
type entry struct {
	after  Key
	ends   Key // where tokens are a whole page
	tokens []int32
}

func newIndex(pages int) index {
	return index{make([]entry, pages), map[Key]int32{}, map[Key][]int32{}}
}

func (x *index) has(id int32) bool { return len(x.entries[id].tokens) > 0 }

func (x *index) put(id int32, after Key, tokens []int32) {
	x.drop(id)
	e := &x.entries[id]
	if len(tokens) == PageTokens {
		e.ends = after.Next(tokens)
		if _, known := x.whole[e.ends]; known {
			return
		}
		x.whole[e.ends] = id
	}
	e.after, e.tokens = after, append(e.tokens, tokens...)
	x.followers[after] = append(x.followers[after], id)
}

// drop forgets page id, if it is known.
func (x *index) drop(id int32) {
	e := &x.entries[id]
	if len(e.tokens) == 0 {
		return
	}
	if len(e.tokens) == PageTokens {
		delete(x.whole, e.ends)
	}
	e.tokens = e.tokens[:0]
	rest := slices.DeleteFunc(x.followers[e.after], func(f int32) bool { return f == id })
	if x.followers[e.after] = rest; len(rest) == 0 {
		delete(x.followers, e.after)
	}
}
