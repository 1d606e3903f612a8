package tokens

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// ErrIncomplete means that a shard has not all its samples yet: its writer still runs,
// or was ended and can be run again.
var ErrIncomplete = errors.New("incomplete shard")

// maxHeader bounds the first line, bytes.
const maxHeader = 64 << 10

// Reader reads a shard, a sample at a time, and checks all of it.
type Reader struct {
	path     string
	f        *os.File
	r        *bufio.Reader
	h        Header
	buf      []byte
	line     int   // number of the line last read
	whole    int64 // bytes of all lines before it and it
	next, to int64 // indices of the samples to come
}

// Open opens the shard at path and reads its header.
func Open(path string) (*Reader, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	r, err := newReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// openRegular opens path. It looks first, because opening a pipe would wait for a writer.
func openRegular(path string, flag int) (*os.File, error) {
	if info, err := os.Stat(path); err == nil {
		if err := mapped.CheckRegular(path, info); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, flag, 0o666)
}

// newReader reads f from its start, where a header is.
func newReader(f *os.File) (*Reader, error) {
	r := &Reader{path: f.Name(), f: f, r: bufio.NewReaderSize(f, 64<<10)}
	line, err := r.readLine(maxHeader)
	if err == io.EOF || err == errCut {
		return nil, fmt.Errorf("%s: the header is cut off: run llmqat-train generate again with the same settings, or remove the file: %w", r.path, ErrIncomplete)
	}
	if err != nil {
		return nil, err
	}
	if r.h, err = parseHeader(line); err != nil {
		return nil, fmt.Errorf("%s: %w", r.at(), err)
	}
	r.next, r.to = r.h.Range()
	return r, nil
}

// Header returns what the shard is.
func (r *Reader) Header() Header { return r.h }

// Next returns the next sample, io.EOF after the last, or an error that names the
// line: one that wraps ErrIncomplete where samples are still to be written.
func (r *Reader) Next() (Sample, error) {
	// An id of the largest vocabulary takes 8 bytes with its comma; others may write spaces.
	line, err := r.readLine(4096 + 16*r.h.MaxTokens)
	switch {
	case err == io.EOF && r.next == r.to:
		return Sample{}, io.EOF
	case err == io.EOF:
		return Sample{}, r.incomplete("")
	case err == errCut:
		return Sample{}, r.incomplete(fmt.Sprintf("line %d is cut off, ", r.line))
	case err != nil:
		return Sample{}, err
	case r.next == r.to:
		return Sample{}, fmt.Errorf("%s: %.40q after the last sample, want the end of the file: %w", r.at(), line, format.ErrCorrupt)
	}
	s, err := r.h.parse(line, r.next)
	if err != nil {
		return Sample{}, fmt.Errorf("%s: %w: keep the lines before it (head -n %d) and run llmqat-train generate again, or remove the file: %w",
			r.at(), err, r.line-1, format.ErrCorrupt)
	}
	r.next++
	return s, nil
}

func (r *Reader) at() string { return fmt.Sprintf("%s:%d", r.path, r.line) }

func (r *Reader) incomplete(why string) error {
	from, to := r.h.Range()
	return fmt.Errorf("%s: %s%d of %d samples are there: run llmqat-train generate again with the same settings to resume, or remove the file: %w",
		r.path, why, r.next-from, to-from, ErrIncomplete)
}

// errCut is a line without its end.
var errCut = errors.New("cut off")

// readLine returns the next line without its end, valid until the next call. It
// returns errCut for one that has none, io.EOF where there is no line.
func (r *Reader) readLine(limit int) ([]byte, error) {
	r.line++
	r.buf = r.buf[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		switch {
		case len(r.buf) > limit:
			return nil, fmt.Errorf("%s: a line of more than %d bytes, begins with %.40q: %w", r.at(), limit, r.buf, format.ErrCorrupt)
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(r.buf) > 0:
			return nil, errCut
		case err == io.EOF:
			return nil, io.EOF
		case err != nil:
			return nil, fmt.Errorf("%s: %w", r.at(), err)
		default:
			r.whole += int64(len(r.buf))
			return r.buf[:len(r.buf)-1], nil
		}
	}
}

// Close closes the file.
func (r *Reader) Close() error { return r.f.Close() }
