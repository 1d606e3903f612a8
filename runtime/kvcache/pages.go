// Package kvcache keeps the paged KV cache. Pages hands out page ids and is pure
// bookkeeping; Pool is the device memory that the ids index.
package kvcache

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

// ErrFull means that fewer pages are free than were asked for.
var ErrFull = errors.New("kvcache: no free page")

// PageTokens is the number of tokens of a page.
const PageTokens = kernels.PageTokens

// Pages hands out the ids 0..n-1 of KV pages. A page may have several holders, as
// sequences with one prefix have, and is free again when the last one releases it. A
// free page that was published keeps its tokens' K and V and may be held again, until
// its memory is wanted: the one that was released first goes first.
type Pages struct {
	refs  []int32 // [n] holders of each page
	empty []int32 // free and not published; a stack: the page freed last is used next, while caches know it
	kept  list    // free and published, the one released first in front
	index index   // what is published
}

// NewPages returns n free pages.
func NewPages(n int) *Pages {
	p := &Pages{refs: make([]int32, n), empty: make([]int32, n), kept: newList(n), index: newIndex(n)}
	for i := range p.empty {
		p.empty[i] = int32(n - 1 - i)
	}
	return p
}

// Count is the number of pages that tokens need.
func Count(tokens int) int { return (tokens + PageTokens - 1) / PageTokens }

// Total returns the number of pages, free or held.
func (p *Pages) Total() int { return len(p.refs) }

// Free returns the number of pages that nobody holds.
func (p *Pages) Free() int { return len(p.empty) + p.kept.n }

// Kept returns how many of the free pages are published.
func (p *Pages) Kept() int { return p.kept.n }

// Unheld returns how many pages of table are free: to hold them makes as many fewer.
func (p *Pages) Unheld(table []int32) (n int) {
	for _, id := range table {
		if p.refs[id] == 0 {
			n++
		}
	}
	return n
}

// Grow extends table by free pages until it holds tokens. Where too few are free
// it returns table as it was and ErrFull.
func (p *Pages) Grow(table []int32, tokens int) ([]int32, error) {
	need := Count(tokens) - len(table)
	if need > p.Free() {
		return table, ErrFull
	}
	for range need {
		id := p.take()
		p.refs[id] = 1
		table = append(table, id)
	}
	return table, nil
}

// take returns a free page whose contents are of no use any more.
func (p *Pages) take() int32 {
	if n := len(p.empty); n > 0 {
		id := p.empty[n-1]
		p.empty = p.empty[:n-1]
		return id
	}
	id := p.kept.first()
	p.kept.remove(id)
	p.index.drop(id)
	return id
}

// Retain adds a holder to every page of table, of which free ones must be published.
func (p *Pages) Retain(table []int32) {
	for _, id := range table {
		if p.refs[id] == 0 {
			p.published(id)
			p.kept.remove(id)
		}
		p.refs[id]++
	}
}

// Release takes one holder from every page of table. What is released of one table
// stays the longer, the nearer it is to the table's beginning.
func (p *Pages) Release(table []int32) {
	for i := len(table) - 1; i >= 0; i-- {
		id := table[i]
		p.held(id)
		if p.refs[id]--; p.refs[id] > 0 {
			continue
		}
		if p.index.has(id) {
			p.kept.add(id)
		} else {
			p.empty = append(p.empty, id)
		}
	}
}

// held panics where nobody holds id: a sequence would read another's tokens.
func (p *Pages) held(id int32) {
	if p.refs[id] == 0 {
		panic(fmt.Sprintf("kvcache: page %d of %d is free", id, len(p.refs)))
	}
}

func (p *Pages) published(id int32) {
	if !p.index.has(id) {
		panic(fmt.Sprintf("kvcache: page %d of %d is free and holds nothing", id, len(p.refs)))
	}
}
