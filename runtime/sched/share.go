package sched

import (
	"slices"

	"github.com/llmqat/llmqat/runtime/kvcache"
)

// minCopied is how many tokens a page must share to be copied for them: fewer are
// computed about as fast.
const minCopied = 8

// match is the part of a sequence that is in the cache.
type match struct {
	pages  []int32 // whole ones, to be held
	tail   int32   // a page that begins with tokens of the next one, to be copied
	copied int     // those tokens; 0: none
}

func (m *match) tokens() int { return len(m.pages)*kvcache.PageTokens + m.copied }

// find looks up those of q's tokens that it may share.
func (s *Scheduler) find(q *Sequence) (m match) {
	known := q.Tokens[:q.shareable()]
	n := 0
	for ; (n+1)*kvcache.PageTokens <= len(known); n++ {
		id, ok := s.pages.Find(q.key(n + 1))
		if !ok {
			break
		}
		m.pages = append(m.pages, id)
	}
	rest := known[n*kvcache.PageTokens:]
	m.tail, m.copied = s.pages.Longest(q.key(n), rest[:min(len(rest), kvcache.PageTokens)])
	if m.copied < minCopied {
		m.copied = 0
	}
	return m
}

// admit starts waiting sequences while places and pages last. A sequence gets the pages
// of all its known tokens, and leaves one for each that runs and may need one, so that
// they do not soon take its own. One whose beginning a running one is computing right now
// is passed over until it can be shared.
func (s *Scheduler) admit() {
	for i := 0; i < len(s.waiting) && len(s.running) < s.o.Sequences; {
		q := s.waiting[i]
		m := s.find(q)
		if s.computing(q, m.tokens()) {
			i++
			continue
		}
		if !s.fits(q, &m) {
			return
		}
		s.start(q, &m)
	}
}

// fits says whether there are pages for q, beside those that it shares.
func (s *Scheduler) fits(q *Sequence, m *match) bool {
	free := s.pages.Free() - s.pages.Unheld(m.pages)
	for _, r := range s.running {
		if len(r.Pages) < r.maxPages() {
			free--
		}
	}
	return kvcache.Count(len(q.Tokens))-len(m.pages) <= free
}

// start moves q from waiting to running.
func (s *Scheduler) start(q *Sequence, m *match) {
	s.pages.Retain(m.pages)
	pages, err := s.pages.Grow(m.pages, len(q.Tokens))
	if err != nil {
		panic("sched: sequence that fits does not: " + err.Error())
	}
	q.Pages, q.cached, q.published = pages, m.tokens(), m.tokens()
	if m.copied > 0 {
		if to := pages[q.cached/kvcache.PageTokens]; to != m.tail { // it may have been free itself
			s.step.Copies = append(s.step.Copies, Copy{To: to, From: m.tail})
		}
	}
	if !q.begun {
		q.begun, q.Shared = true, q.cached
		s.shared += int64(q.cached)
		s.line.served(q)
	}
	s.waiting = without(s.waiting, q)
	s.running = insert(s.running, q)
	if q.decoding() { // it was preempted, and finds all it had
		s.next(q)
	}
}

// computing says whether a prompt that runs has yet to compute tokens that q could share,
// enough of them beyond the cached ones. It does not wait for one of less priority.
func (s *Scheduler) computing(q *Sequence, cached int) bool {
	n := cached / kvcache.PageTokens
	from, to := n*kvcache.PageTokens, cached+minCopied
	return slices.ContainsFunc(s.running, func(p *Sequence) bool {
		return !p.decoding() && p.Priority <= q.Priority && min(len(p.Tokens), q.shareable()) >= to &&
			p.key(n) == q.key(n) && slices.Equal(p.Tokens[from:to], q.Tokens[from:to])
	})
}

// publish makes the first n tokens of q known, whose K and V are in its pages.
func (s *Scheduler) publish(q *Sequence, n int) {
	for from := q.published / kvcache.PageTokens * kvcache.PageTokens; from < n; from += kvcache.PageTokens {
		if to := min(from+kvcache.PageTokens, n); to > q.published {
			page := from / kvcache.PageTokens
			s.pages.Publish(q.Pages[page], q.key(page), q.Tokens[from:to])
		}
	}
	q.published = max(q.published, n)
}
