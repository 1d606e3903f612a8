// Package topk reads and writes what a teacher finds the likeliest after each token of a
// data set: its k most likely next tokens with their probabilities, and what is left for
// all others. A student learns from such a file without its teacher.
//
// A file is a line of JSON (Header), a record a token, and the SHA-256 of all that. A
// record is k ids, the likeliest first, uint16 where the vocabulary allows it and uint32
// elsewhere; then k+1 float32: the logarithms of their probabilities and of the others'
// together, -Inf for none. Little-endian.
package topk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math"
	"regexp"

	"github.com/llmqat/llmqat/format"
)

// Version is the format version written, and the only one read.
const Version = 1

const formatName = "llmqat-topk"

// Bounds that no file comes near, so that no product of them overflows.
const (
	maxHeader = 64 << 10
	maxVocab  = 1 << 22
	maxTokens = 1 << 36
)

// Header says of what a file is.
type Header struct {
	Format    string `json:"format"`         // NewWriter sets it,
	Version   int    `json:"version"`        // and this
	Teacher   string `json:"teacher_sha256"` // of its files, as a .qat file's provenance has it
	Data      string `json:"data_sha256"`    // of the windows, as a run's config has it
	Length    int    `json:"length"`         // tokens of a window, at most
	VocabSize int    `json:"vocab_size"`
	K         int    `json:"k"`
	Tokens    int64  `json:"tokens"` // of all windows, each of which has a record
}

var digest = regexp.MustCompile("^sha256:[0-9a-f]{64}$")

func (h *Header) check() error {
	for _, n := range []struct {
		name           string
		v, least, most int64
	}{
		{"vocab_size", int64(h.VocabSize), 1, maxVocab},
		{"k", int64(h.K), 1, int64(h.VocabSize)},
		{"length", int64(h.Length), 2, maxTokens},
		{"tokens", h.Tokens, 1, maxTokens},
	} {
		if n.v < n.least || n.v > n.most {
			return fmt.Errorf("%s is %d, want %d to %d", n.name, n.v, n.least, n.most)
		}
	}
	for _, s := range []string{h.Teacher, h.Data} {
		if !digest.MatchString(s) {
			return fmt.Errorf("hash %.80q, want sha256: and 64 hexadecimal digits", s)
		}
	}
	return nil
}

// idBytes is the size of an id.
func (h *Header) idBytes() int {
	if h.VocabSize <= 1<<16 {
		return 2
	}
	return 4
}

func (h *Header) recordBytes() int { return h.K*h.idBytes() + 4*(h.K+1) }

// Writer writes a file.
type Writer struct {
	h    Header
	sum  hash.Hash
	to   io.Writer // both the file and the sum
	out  io.Writer
	rows int64
	buf  []byte
}

// NewWriter begins a file of h.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format, h.Version = formatName, Version
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("topk: %w", err)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	t := &Writer{h: h, sum: sum, to: io.MultiWriter(w, sum), out: w}
	_, err = t.to.Write(append(line, '\n'))
	return t, err
}

// Row writes the next token's record: ids [k] and logarithms [k+1].
func (w *Writer) Row(ids []int32, ln []float32) error {
	if len(ids) != w.h.K || len(ln) != w.h.K+1 {
		panic(fmt.Sprintf("topk: a row of %d ids and %d logarithms, want %d and one more", len(ids), len(ln), w.h.K))
	}
	b := w.buf[:0]
	for _, id := range ids {
		if w.h.idBytes() == 2 {
			b = binary.LittleEndian.AppendUint16(b, uint16(id))
		} else {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
	}
	for _, v := range ln {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	w.buf = b
	w.rows++
	_, err := w.to.Write(b)
	return err
}

// Close ends the file, all of whose rows must be there.
func (w *Writer) Close() error {
	if w.rows != w.h.Tokens {
		panic(fmt.Sprintf("topk: %d rows, want %d", w.rows, w.h.Tokens))
	}
	_, err := w.out.Write(w.sum.Sum(nil))
	return err
}

// decode sets ids [n·k] and ln [n·(k+1)] to n records.
func (h *Header) decode(b []byte, ids []int32, ln []float32) {
	k := h.K
	for i := range len(ids) / k {
		for j := range k {
			if h.idBytes() == 2 {
				ids[i*k+j] = int32(binary.LittleEndian.Uint16(b))
			} else {
				ids[i*k+j] = int32(binary.LittleEndian.Uint32(b))
			}
			b = b[h.idBytes():]
		}
		for j := range k + 1 {
			ln[i*(k+1)+j] = math.Float32frombits(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
	}
}

// parse reads the header off the start of a file, and says how long it is.
func parse(start []byte) (h Header, size int, err error) {
	line, _, ok := bytes.Cut(start, []byte("\n"))
	if err := json.Unmarshal(line, &h); !ok || err != nil || h.Format != formatName {
		return h, 0, fmt.Errorf("no file of a teacher's likeliest tokens: %w: make one by llmqat-train teach", format.ErrCorrupt)
	}
	if h.Version != Version {
		return h, 0, fmt.Errorf("version %d, this llmqat reads %d: make it anew", h.Version, Version)
	}
	if err := h.check(); err != nil {
		return h, 0, fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	return h, len(line) + 1, nil
}
