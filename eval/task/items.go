package task

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/llmqat/llmqat/internal/filelock"
)

// A file of items is JSON Lines: a header, then a line for each item and protocol, in the order in
// which they are scored. An item's lines stand together, and are written at once.

// itemsHeader says what the lines are scores of. Only lines of an equal header are gone on from.
type itemsHeader struct {
	Version   int        `json:"version"` // of the file's layout
	Model     string     `json:"model"`
	MaxTokens int        `json:"max_tokens"`
	Protocols []Protocol `json:"protocols"`
	Of        []itemsOf  `json:"of"`
}

// itemsOf is a set; SHA256 is of all prompts as they are asked, examples included.
type itemsOf struct {
	Task   string `json:"task"`
	Items  int    `json:"items"`
	Shots  int    `json:"shots"`
	SHA256 string `json:"sha256"`
}

// itemLine is an item's scores.
type itemLine struct {
	Task     string    `json:"task"`
	Protocol Protocol  `json:"protocol"`
	Item     int       `json:"item"`
	Gold     int       `json:"gold"`
	Logprobs []float64 `json:"logprobs"`
	Lengths  []int     `json:"lengths"` // characters of the choices
	Greedy   []bool    `json:"greedy"`
	Alone    []float64 `json:"answer_logprobs,omitempty"` // ln P(choice | "Answer:")
}

type place struct{ set, item int }

type itemsFile struct {
	f *os.File
	p *plan
}

func (p *plan) header(model string, maxTokens int) itemsHeader {
	h := itemsHeader{Version: 1, Model: model, MaxTokens: maxTokens, Protocols: p.protocols}
	for i, s := range p.sets {
		h.Of = append(h.Of, itemsOf{s.Name, len(s.Items), s.Shots, p.sums[i]})
	}
	return h
}

// openItems opens a file of items, or begins one, and returns what it has.
func openItems(path string, p *plan, model string, maxTokens int) (_ *itemsFile, found map[place]answer, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := filelock.Lock(f); err != nil {
		return nil, nil, fmt.Errorf("%s: another process writes to it: %w", path, err)
	}
	h := p.header(model, maxTokens)
	first, err := json.Marshal(h)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(f)
	line, err := r.ReadBytes('\n')
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	file := &itemsFile{f: f, p: p}
	if err == io.EOF && bytes.HasPrefix(first, line) { // new, or cut off within the header
		return file, nil, errors.Join(file.cut(0), file.append(first))
	}
	if err := h.same(path, line); err != nil {
		return nil, nil, err
	}
	found, end, err := file.read(path, r, int64(len(line)))
	if err != nil {
		return nil, nil, err
	}
	return file, found, file.cut(end)
}

// same says how the header in line differs.
func (h *itemsHeader) same(path string, line []byte) error {
	const way = "take another file for --items, or remove this one"
	var is itemsHeader
	if err := json.Unmarshal(line, &is); err != nil || is.Version == 0 {
		return fmt.Errorf("%s:1: %.60q: not the header of a file of items: %s", path, line, way)
	}
	for _, c := range []struct {
		what     string
		is, want any
	}{
		{"the version", is.Version, h.Version}, {"the model", is.Model, h.Model}, {"the context", is.MaxTokens, h.MaxTokens},
		{"protocols", is.Protocols, h.Protocols}, {"tasks, items, examples", is.Of, h.Of},
	} {
		if !reflect.DeepEqual(c.is, c.want) {
			return fmt.Errorf("%s: holds scores of another run: %s: %v, want %v: %s", path, c.what, c.is, c.want, way)
		}
	}
	return nil
}

// read returns the answers of all whole items, and where they end in the file: what a killed
// process left half-written is behind.
func (f *itemsFile) read(path string, r *bufio.Reader, at int64) (found map[place]answer, end int64, err error) {
	found = map[place]answer{}
	sets := map[string]int{}
	for i, s := range f.p.sets {
		sets[s.Name] = i
	}
	end = at
	for number := 2; ; {
		var is answer
		var of place
		for n, protocol := range f.p.protocols {
			line, err := r.ReadBytes('\n')
			if err == io.EOF {
				return found, end, nil
			}
			if err != nil {
				return nil, 0, err
			}
			var l itemLine
			if err := json.Unmarshal(line, &l); err != nil {
				return nil, 0, fmt.Errorf("%s:%d: %w: remove the file to begin again", path, number, err)
			}
			set, ok := sets[l.Task]
			if !ok || l.Protocol != protocol || l.Item < 0 || l.Item >= len(f.p.sets[set].Items) || !f.p.fits(set, &l) || n > 0 && of != (place{set, l.Item}) {
				return nil, 0, fmt.Errorf("%s:%d: not the line that the header and the lines before want here: remove the file to begin again", path, number)
			}
			of = place{set, l.Item}
			is.logprobs, is.greedy = l.Logprobs, l.Greedy
			if l.Alone != nil {
				is.alone = l.Alone
			}
			at += int64(len(line))
			number++
		}
		found[of], end = is, at
	}
}

// fits says whether a line has as many numbers as its item has choices.
func (p *plan) fits(set int, l *itemLine) bool {
	s := p.sets[set]
	n, alone := len(s.Items[l.Item].Choices), 0
	if l.Protocol == LLaMA && s.alone {
		alone = n
	}
	return len(l.Logprobs) == n && len(l.Greedy) == n && len(l.Alone) == alone
}

// cut makes the file end at n, and go on from there.
func (f *itemsFile) cut(n int64) error {
	if err := f.f.Truncate(n); err != nil {
		return err
	}
	_, err := f.f.Seek(n, io.SeekStart)
	return err
}

func (f *itemsFile) append(line []byte) error {
	_, err := f.f.Write(append(line, '\n'))
	return err
}

func (f *itemsFile) write(q *question, a answer) error {
	s := f.p.sets[q.set]
	var lines []byte
	for _, protocol := range f.p.protocols {
		l := itemLine{
			Task: s.Name, Protocol: protocol, Item: q.item, Gold: s.Items[q.item].Gold,
			Logprobs: a.logprobs, Lengths: f.p.lengths[q.set][q.item], Greedy: a.greedy,
		}
		if protocol == LLaMA {
			l.Alone = slices.Clone(a.alone)
		}
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		lines = append(append(lines, b...), '\n')
	}
	_, err := f.f.Write(lines)
	return err
}

func (f *itemsFile) close() error { return errors.Join(f.f.Sync(), f.f.Close()) }
