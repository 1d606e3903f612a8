package tokens

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// Sample is one line of a shard: a text in token ids. Index is its number in the data
// set; the rest is of MethodGenerate.
type Sample struct {
	Index int64
	IDs   []int32

	Start  int32 // the token that it was to begin with, after BOS
	Greedy int   // likeliest tokens after it, but for an early end
	Prompt int   // ids that were given: BOS and Start
	EOS    bool  // the last id is one that ends a text; else MaxTokens did
}

// append appends the line of s to b.
func (s *Sample) append(b []byte, method string) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), s.Index, 10)
	if method == MethodGenerate {
		b = strconv.AppendInt(append(b, `,"start":`...), int64(s.Start), 10)
		b = strconv.AppendInt(append(b, `,"greedy":`...), int64(s.Greedy), 10)
		b = strconv.AppendInt(append(b, `,"prompt":`...), int64(s.Prompt), 10)
	}
	b = append(b, `,"ids":[`...)
	for i, id := range s.IDs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	b = append(b, ']')
	if method == MethodGenerate {
		b = strconv.AppendBool(append(b, `,"eos":`...), s.EOS)
	}
	return append(b, "}\n"...)
}

// sampleJSON tells what is missing from what is 0.
type sampleJSON struct {
	Index  *int64 `json:"index"`
	Start  *int32 `json:"start"`
	Greedy *int   `json:"greedy"`
	Prompt *int   `json:"prompt"`
	IDs    idList `json:"ids"`
	EOS    *bool  `json:"eos"`
}

// idList is read twice as fast as []int32.
type idList []int32

// UnmarshalJSON reads a list of ids; that b is one JSON value has been checked.
func (l *idList) UnmarshalJSON(b []byte) error {
	list, ok := bytes.CutPrefix(b, []byte("["))
	if !ok {
		return fmt.Errorf("ids is %.40q, want a list of token ids", b)
	}
	list = bytes.TrimSpace(list[:len(list)-1])
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		id := int32(0)
		for _, c := range bytes.TrimSpace(item) {
			if c < '0' || c > '9' || id >= maxVocab {
				return fmt.Errorf("ids has %.40q, want a token id", bytes.TrimSpace(item))
			}
			id = 10*id + int32(c-'0') // below 10·maxVocab
		}
		*l = append(*l, id)
	}
	return nil
}

// parse reads the line of the sample that is number index of h's data set.
func (h *Header) parse(line []byte, index int64) (s Sample, err error) {
	j := sampleJSON{IDs: make([]int32, 0, min(h.MaxTokens, len(line)/2))}
	if err := strict(line, &j); err != nil {
		return s, err
	}
	generated := h.Method == MethodGenerate
	for _, f := range []struct {
		name        string
		there, want bool
	}{
		{"index", j.Index != nil, true},
		{"start", j.Start != nil, generated},
		{"greedy", j.Greedy != nil, generated},
		{"prompt", j.Prompt != nil, generated},
		{"eos", j.EOS != nil, generated},
	} {
		switch {
		case f.want && !f.there:
			return s, fmt.Errorf("has no %q, want one", f.name)
		case f.there && !f.want:
			return s, fmt.Errorf("has %q, which samples of method %q have not", f.name, h.Method)
		}
	}
	s.Index, s.IDs = *j.Index, j.IDs
	if generated {
		s.Start, s.Greedy, s.Prompt, s.EOS = *j.Start, *j.Greedy, *j.Prompt, *j.EOS
	}
	return s, h.checkSample(&s, index)
}

// checkSample says in what s is not sample number index of h's data set.
func (h *Header) checkSample(s *Sample, index int64) error {
	prompt := h.prompt()
	switch {
	case s.Index != index:
		return fmt.Errorf("index is %d, want %d", s.Index, index)
	case len(s.IDs) <= prompt || len(s.IDs) > h.MaxTokens:
		return fmt.Errorf("%d ids, want %d to %d", len(s.IDs), prompt+1, h.MaxTokens)
	case h.BOS >= 0 && s.IDs[0] != h.BOS:
		return fmt.Errorf("the first id is %d, want %d, the header's bos", s.IDs[0], h.BOS)
	}
	for i, id := range s.IDs {
		if id < 0 || int(id) >= h.VocabSize {
			return fmt.Errorf("id %d at %d, want 0 to %d", id, i, h.VocabSize-1)
		}
	}
	if h.Method != MethodGenerate {
		return nil
	}
	switch {
	case s.Prompt != prompt:
		return fmt.Errorf("prompt is %d, want %d", s.Prompt, prompt)
	case s.IDs[prompt-1] != s.Start:
		return fmt.Errorf("the id at %d is %d, want %d, its start", prompt-1, s.IDs[prompt-1], s.Start)
	case !slices.Contains(h.Sampling.Greedy, s.Greedy):
		return fmt.Errorf("greedy is %d, want one of %v", s.Greedy, h.Sampling.Greedy)
	case !s.EOS && len(s.IDs) != h.MaxTokens:
		return fmt.Errorf("%d ids without eos, want %d", len(s.IDs), h.MaxTokens)
	}
	return nil
}
