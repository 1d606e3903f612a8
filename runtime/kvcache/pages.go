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

// Pages hands out the ids 0..n-1 of KV pages of kernels.PageTokens tokens each.
// A page may have several holders, as sequences with one prefix, and is free
// again when the last one releases it.
type Pages struct {
	free []int32 // a stack: the page freed last is used next, while caches know it
	refs []int32 // [n] holders of each page
}

// NewPages returns n free pages.
func NewPages(n int) *Pages {
	p := &Pages{free: make([]int32, n), refs: make([]int32, n)}
	for i := range p.free {
		p.free[i] = int32(n - 1 - i)
	}
	return p
}

// Count is the number of pages that tokens need.
func Count(tokens int) int { return (tokens + kernels.PageTokens - 1) / kernels.PageTokens }

// Total returns the number of pages, free or held.
func (p *Pages) Total() int { return len(p.refs) }

// Free returns the number of free pages.
func (p *Pages) Free() int { return len(p.free) }

// Grow extends table by free pages until it holds tokens. Where too few are free
// it returns table as it was and ErrFull.
func (p *Pages) Grow(table []int32, tokens int) ([]int32, error) {
	need := Count(tokens) - len(table)
	if need > len(p.free) {
		return table, ErrFull
	}
	for range need {
		id := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		p.refs[id] = 1
		table = append(table, id)
	}
	return table, nil
}

// Retain adds a holder to every page of table.
func (p *Pages) Retain(table []int32) {
	for _, id := range table {
		p.held(id)
		p.refs[id]++
	}
}

// Release takes one holder from every page of table.
func (p *Pages) Release(table []int32) {
	for _, id := range table {
		p.held(id)
		if p.refs[id]--; p.refs[id] == 0 {
			p.free = append(p.free, id)
		}
	}
}

// held panics where nobody holds id: a sequence would read another's tokens.
func (p *Pages) held(id int32) {
	if p.refs[id] == 0 {
		panic(fmt.Sprintf("kvcache: page %d of %d is free", id, len(p.refs)))
	}
}
