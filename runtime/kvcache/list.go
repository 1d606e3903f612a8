package kvcache

// list is a doubly linked list of some of the pages 0..n-1.
type list struct {
	next, prev []int32 // [n+1]; the last element is both ends
	n          int
}

func newList(pages int) list {
	l := list{next: make([]int32, pages+1), prev: make([]int32, pages+1)}
	l.next[pages], l.prev[pages] = int32(pages), int32(pages)
	return l
}

func (l *list) end() int32   { return int32(len(l.next) - 1) }
func (l *list) first() int32 { return l.next[l.end()] }

// add puts id, which is not in the list, at its end.
func (l *list) add(id int32) {
	last := l.prev[l.end()]
	l.next[last], l.prev[id] = id, last
	l.next[id], l.prev[l.end()] = l.end(), id
	l.n++
}

// remove takes id, which is in the list, out of it.
func (l *list) remove(id int32) {
	l.next[l.prev[id]], l.prev[l.next[id]] = l.next[id], l.prev[id]
	l.n--
}
