// Package tokens reads and writes the data that models are trained on: samples of
// token ids, as JSON Lines in shards. docs/generate.md is the specification.
//
// Ids travel, never text: a sample may begin in the middle of a character.
package tokens

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/llmqat/llmqat/format"
)

// Version is the format version written, and the highest one read.
const Version = 1

// formatName is what Header.Format says.
const formatName = "llmqat-tokens"

// Methods, of which one is Header.Method.
const (
	MethodGenerate = "generate" // sampled from the teacher
	MethodText     = "text"     // windows of a text
)

// Bounds that no data set comes near, so that no product of them overflows.
const (
	maxSamples = 1 << 40
	maxShards  = 1 << 20
	maxVocab   = 1 << 22
	maxTokens  = 1 << 24
)

// Header is the first line of a shard: what all shards of a data set have in common,
// and which of them this is.
type Header struct {
	Format        string    `json:"format"`  // Append sets it,
	Version       int       `json:"version"` // and this
	Method        string    `json:"method"`
	Teacher       string    `json:"teacher"`        // name of its file or directory; for people
	TeacherSHA256 string    `json:"teacher_sha256"` // as a .qat file's provenance has it: "sha256:..."
	VocabSize     int       `json:"vocab_size"`
	BOS           int32     `json:"bos"`                // first of every sample; -1: none
	MaxTokens     int       `json:"max_tokens"`         // of a sample, BOS included
	Sampling      *Sampling `json:"sampling,omitempty"` // of MethodGenerate
	Text          *Text     `json:"text,omitempty"`     // of MethodText
	Samples       int64     `json:"samples"`            // of all shards
	Shard         int       `json:"shard"`              // 0 to Shards-1
	Shards        int       `json:"shards"`
}

// Sampling says how samples are drawn from the teacher.
type Sampling struct {
	Starts      int     `json:"starts"`      // different start tokens
	Greedy      []int   `json:"greedy"`      // numbers of tokens after the start token that are the likeliest, in turn
	Temperature float64 `json:"temperature"` // of those after them
	TopK        int     `json:"top_k"`       // 0: all
	Seed        uint64  `json:"seed"`
}

// Text says which text was cut.
type Text struct {
	File   string `json:"file"` // its name; for people
	SHA256 string `json:"sha256"`
}

// Range returns the indices of the shard's samples: from, from+1, ..., to-1.
func (h *Header) Range() (from, to int64) {
	shard, shards := int64(h.Shard), int64(h.Shards)
	return h.Samples * shard / shards, h.Samples * (shard + 1) / shards
}

// ShardName is the name of shard i of n in its directory.
func ShardName(i, n int) string { return fmt.Sprintf("shard-%05d-of-%05d.jsonl", i, n) }

var digest = regexp.MustCompile("^sha256:[0-9a-f]{64}$")

func (h *Header) check() error {
	for _, n := range []struct {
		name           string
		v, least, most int64
	}{
		{"vocab_size", int64(h.VocabSize), 1, maxVocab},
		{"bos", int64(h.BOS), -1, int64(h.VocabSize) - 1},
		{"max_tokens", int64(h.MaxTokens), int64(h.prompt()) + 1, maxTokens},
		{"samples", h.Samples, 1, maxSamples},
		{"shards", int64(h.Shards), 1, maxShards},
		{"shard", int64(h.Shard), 0, int64(h.Shards) - 1},
	} {
		if n.v < n.least || n.v > n.most {
			return fmt.Errorf("%s is %d, want %d to %d", n.name, n.v, n.least, n.most)
		}
	}
	switch {
	case !digest.MatchString(h.TeacherSHA256):
		return fmt.Errorf("teacher_sha256 is %.80q, want sha256: and 64 hexadecimal digits", h.TeacherSHA256)
	case h.Method == MethodGenerate && h.Sampling != nil && h.Text == nil:
		return h.Sampling.check(h)
	case h.Method == MethodText && h.Text != nil && h.Sampling == nil:
		if !digest.MatchString(h.Text.SHA256) {
			return fmt.Errorf("text's sha256 is %.80q, want sha256: and 64 hexadecimal digits", h.Text.SHA256)
		}
		return nil
	}
	return fmt.Errorf("method is %.40q, want %q with sampling or %q with text", h.Method, MethodGenerate, MethodText)
}

func (s *Sampling) check(h *Header) error {
	most := h.MaxTokens - h.prompt()
	switch {
	case s.Starts < 1 || s.Starts > h.VocabSize:
		return fmt.Errorf("starts is %d, want 1 to %d", s.Starts, h.VocabSize)
	case len(s.Greedy) == 0 || slices.Min(s.Greedy) < 0 || slices.Max(s.Greedy) > most:
		return fmt.Errorf("greedy is %v, want numbers from 0 to %d, what %d tokens leave after the prompt", s.Greedy, most, h.MaxTokens)
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return fmt.Errorf("temperature is %v, want 0 to 100", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("top_k is %d, want 0 (all) or more", s.TopK)
	}
	return nil
}

// prompt is the number of a sample's tokens that are not generated or read: BOS and
// the start token.
func (h *Header) prompt() (n int) {
	if h.BOS >= 0 {
		n++
	}
	if h.Method == MethodGenerate {
		n++
	}
	return n
}

// differs returns the first parameter in which two headers differ, and its values, or
// "". Names for people do not count.
func (h *Header) differs(o *Header) (name string, mine, other any) {
	type pair struct {
		name        string
		mine, other any
	}
	list := []pair{
		{"method", h.Method, o.Method},
		{"teacher_sha256", h.TeacherSHA256, o.TeacherSHA256},
		{"vocab_size", h.VocabSize, o.VocabSize},
		{"bos", h.BOS, o.BOS},
		{"max_tokens", h.MaxTokens, o.MaxTokens},
	}
	if a, b := h.Sampling, o.Sampling; a != nil && b != nil {
		list = append(list, pair{"starts", a.Starts, b.Starts}, pair{"greedy", fmt.Sprint(a.Greedy), fmt.Sprint(b.Greedy)},
			pair{"temperature", a.Temperature, b.Temperature}, pair{"top_k", a.TopK, b.TopK}, pair{"seed", a.Seed, b.Seed})
	}
	if a, b := h.Text, o.Text; a != nil && b != nil {
		list = append(list, pair{"text's sha256", a.SHA256, b.SHA256})
	}
	list = append(list, pair{"samples", h.Samples, o.Samples}, pair{"shards", h.Shards, o.Shards}, pair{"shard", h.Shard, o.Shard})
	for _, p := range list {
		if p.mine != p.other {
			return p.name, p.mine, p.other
		}
	}
	return "", nil, nil
}

// line returns the header as it is written.
func (h *Header) line() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(h)
	return b.Bytes(), err
}

// parseHeader reads a first line.
func parseHeader(line []byte) (h Header, err error) {
	var v struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(line, &v); err != nil || v.Format != formatName || v.Version < 1 {
		return h, fmt.Errorf("begins with %.40q, want the header of a shard, which says \"format\":%q: %w", line, formatName, format.ErrCorrupt)
	}
	if v.Version > Version {
		return h, fmt.Errorf("version %d, this llmqat reads up to %d: use a newer llmqat: %w", v.Version, Version, format.ErrUnsupported)
	}
	if err := strict(line, &h); err != nil {
		return h, fmt.Errorf("header: %w: %w", err, format.ErrCorrupt)
	}
	if err := h.check(); err != nil {
		return h, fmt.Errorf("header: %w: %w", err, format.ErrCorrupt)
	}
	return h, nil
}

// strict reads one JSON object of no other fields than v's.
func strict(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if rest := bytes.TrimSpace(line[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("%.40q after its end", rest)
	}
	return nil
}
