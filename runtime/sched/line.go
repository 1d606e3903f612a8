package sched

import "cmp"

// line gives each sequence its place in the order of all: by priority, then by start
// tag, then by arrival. Tags are those of start-time fair queueing (Goyal, Vin, Cheng,
// SIGCOMM 1996): a client's sequences start where its last one's tokens end, and no
// client starts behind the one that was served last. So a client that sends a hundred
// requests delays another's single one by about one of them.
type line struct {
	now  int64            // the tag of the sequence admitted last
	ends map[string]int64 // by client, where it is beyond now
}

func newLine() line { return line{ends: map[string]int64{}} }

// join gives q its tag.
func (l *line) join(q *Sequence) {
	if len(l.ends) >= manyClients {
		for client, end := range l.ends {
			if end <= l.now {
				delete(l.ends, client)
			}
		}
	}
	q.start = max(l.now, l.ends[q.Client])
	l.ends[q.Client] = q.start + int64(q.Prompt+q.MaxTokens)
}

// manyClients is how many are remembered before those that are even are forgotten.
const manyClients = 1024

// served moves the line on when q is admitted.
func (l *line) served(q *Sequence) { l.now = max(l.now, q.start) }

// compare orders sequences by their place in the line.
func compare(a, b *Sequence) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.start, b.start), cmp.Compare(a.ID, b.ID))
}
