package sample

// candidate is a token and its weight relative to the most likely one's.
type candidate struct {
	weight float64
	id     int32
}

func (a candidate) before(b candidate) bool {
	return a.weight > b.weight || a.weight == b.weight && a.id < b.id
}

// heap has each candidate before its two children, 2i+1 and 2i+2: the most likely
// few of a vocabulary come out without sorting the rest.
type heap []candidate

// heapOf orders c as a heap, in place.
func heapOf(c []candidate) heap {
	h := heap(c)
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

func (h heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[right].before(h[child]) {
			child = right
		}
		if !h[child].before(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// take removes candidates in order, the most likely first, until enough says that
// n of them, of weight sum, are enough, or none is left. They are returned with
// the most likely last, in the end of h's memory.
func (h heap) take(enough func(n int, sum float64) bool) []candidate {
	all := h
	sum := 0.0
	for n := 1; len(h) > 0; n++ {
		last := len(h) - 1
		h[0], h[last] = h[last], h[0]
		sum += h[last].weight
		h = h[:last]
		h.down(0)
		if enough(n, sum) {
			break
		}
	}
	return all[len(h):]
}
