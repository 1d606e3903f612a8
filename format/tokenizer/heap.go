package tokenizer

// candidate is a pair of neighbouring symbols that may become one: the symbol at pos and the next one,
// size bytes together, would become id. key is rank<<32 | pos: the best rank first, then the leftmost.
type candidate struct {
	key  uint64
	size int32
	id   int32
}

// candidates is a binary heap with the smallest key at the top. container/heap would box every element.
type candidates []candidate

func (h *candidates) push(c candidate) {
	s := append(*h, c)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if s[up].key <= c.key {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = c
	*h = s
}

func (h *candidates) pop() candidate {
	s := *h
	top := s[0]
	last := s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(s) {
			break
		}
		if down+1 < len(s) && s[down+1].key < s[down].key {
			down++
		}
		if last.key <= s[down].key {
			break
		}
		s[i] = s[down]
		i = down
	}
	s[i] = last
	return top
}
