package sched

import (
	"cmp"
	"maps"
)

// line gives each sequence its place in the order of all: by priority, then by start
// tag, then by arrival. Tags are those of fair queueing (Demers, Keshav, Shenker, SIGCOMM
// 1989; by start as Goyal, Vin, Cheng, SIGCOMM 1996): a client's sequences start where its
// last one's tokens end, and none before now. So a client that sends a hundred requests
// delays another's single one by about one of them, and one that waits is reached, however
// many new clients come.
type line struct {
	now  int64            // tokens that a client which always had some waiting would have had
	ends map[string]int64 // by client, where it is beyond now
}

func newLine() line { return line{ends: map[string]int64{}} }

// join gives q its tag.
func (l *line) join(q *Sequence) {
	q.start = max(l.now, l.ends[q.Client])
	l.ends[q.Client] = q.start + q.cost()
}

// leave takes back what q, which has not begun, would have had.
func (l *line) leave(q *Sequence) {
	if _, beyond := l.ends[q.Client]; beyond {
		l.ends[q.Client] -= q.cost()
		l.forget()
	}
}

// served moves the line on when q begins: its tokens are shared among the clients.
func (l *line) served(q *Sequence) {
	clients := int64(max(len(l.ends), 1))
	l.now += (q.cost() + clients - 1) / clients
	l.forget()
}

// forget drops the clients that are even: a server sees many.
func (l *line) forget() {
	maps.DeleteFunc(l.ends, func(_ string, end int64) bool { return end <= l.now })
}

// compare orders sequences by their place in the line.
func compare(a, b *Sequence) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.start, b.start), cmp.Compare(a.ID, b.ID))
}

// UsualAnswer is what an answer counts at most: one that names no limit may go on to the
// end of the context, and few do.
const UsualAnswer = 1024

// Cost is what a sequence counts among its client's, or of what waits: its tokens.
func Cost(prompt, maxTokens int) int64 { return int64(prompt + min(maxTokens, UsualAnswer)) }

func (q *Sequence) cost() int64 { return Cost(q.Prompt, q.MaxTokens) }
