package gguf

import (
	"encoding/binary"
	"fmt"

	"github.com/llmqat/llmqat/format"
)

// reader takes little-endian values from the header, within its bytes. It keeps the
// first error, after which it returns zeros.
type reader struct {
	data []byte
	pos  int
	err  error
	cut  bool // err is that data end too early
}

// fail keeps the first error, an ErrCorrupt.
func (r *reader) fail(what string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("offset %d: %s: %w", r.pos, fmt.Sprintf(what, args...), format.ErrCorrupt)
	}
}

func (r *reader) left() int { return len(r.data) - r.pos }

// take returns the next n bytes, in place; nil after an error.
func (r *reader) take(n uint64, what string) []byte {
	if r.err == nil && n > uint64(r.left()) {
		r.cut = true
		r.fail("%s takes %d bytes, the header has %d left", what, n, r.left())
	}
	if r.err != nil {
		return nil
	}
	b := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *reader) uint32(what string) uint32 {
	if b := r.take(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(what string) uint64 {
	if b := r.take(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads a number of things of at least size bytes each, of which there may be most.
func (r *reader) count(what string, size int, most uint64) int {
	n := r.uint64(what)
	if r.err == nil && (n > most || n > uint64(r.left()/size)) {
		r.cut = n <= most
		r.fail("%d %s, want at most %d and what %d bytes can hold", n, what, most, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// string reads a string of at most limit bytes.
func (r *reader) string(what string, limit uint64) []byte {
	n := r.uint64(what)
	if n > limit {
		r.fail("%s has %d bytes, at most %d", what, n, limit)
	}
	return r.take(n, what)
}
