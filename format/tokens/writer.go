package tokens

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/internal/filelock"
)

// Writer writes a shard, a sample at a time in order of index, each by one write to
// the end of the file. So a process that is killed leaves whole samples and perhaps
// the beginning of one, and Append goes on from there.
type Writer struct {
	f        *os.File
	h        Header
	next, to int64
	buf      []byte
}

// Append opens the shard of h at path: a new one, or one that has its first samples,
// or all. Those are read and checked, and a cut last line is removed. A shard of other
// parameters is an error that names the first of them. No other process can append
// until Close.
func Append(path string, h Header) (*Writer, error) {
	h.Format, h.Version = formatName, Version
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := openRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f, h: h}
	if err := w.resume(); err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

func (w *Writer) resume() error {
	path := w.f.Name()
	if err := filelock.Lock(w.f); err != nil {
		return fmt.Errorf("%s: cannot be locked, is another process writing it? %w", path, err)
	}
	header, err := w.h.line()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	begun, err := w.begun(header)
	if err != nil {
		return err
	}
	if !begun {
		w.next, w.to = w.h.Range()
		if _, err := w.f.WriteAt(header, 0); err != nil {
			return err
		}
		_, err := w.f.Seek(0, io.SeekEnd)
		return err
	}
	r, err := newReader(w.f)
	if err != nil {
		return err
	}
	if name, found, want := r.h.differs(&w.h); name != "" {
		return fmt.Errorf("%s: made with %s %v, now it is %v: give what it was made with, write elsewhere, or remove the file", path, name, found, want)
	}
	for err == nil {
		_, err = r.Next()
	}
	switch {
	case errors.Is(err, ErrIncomplete):
		if err := w.f.Truncate(r.whole); err != nil {
			return err
		}
	case err != io.EOF:
		return err
	}
	w.next, w.to = r.next, r.to
	_, err = w.f.Seek(r.whole, io.SeekStart)
	return err
}

// begun says whether the file has a whole first line. What it has of one must be the
// beginning of our header: another file is not overwritten.
func (w *Writer) begun(header []byte) (bool, error) {
	begin := make([]byte, maxHeader)
	n, err := io.ReadFull(w.f, begin)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, err
	}
	begin = begin[:n]
	if _, err := w.f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	if bytes.IndexByte(begin, '\n') >= 0 {
		return true, nil
	}
	if !bytes.HasPrefix(header, begin) {
		return false, fmt.Errorf("%s: begins with %.40q, want a shard of samples or no file: write elsewhere, or remove it: %w",
			w.f.Name(), begin, format.ErrCorrupt)
	}
	return false, nil
}

// Path returns the name of the file.
func (w *Writer) Path() string { return w.f.Name() }

// Next returns the index of the sample to be written next, and the one behind the
// shard's last: where they are equal the shard is complete.
func (w *Writer) Next() (next, end int64) { return w.next, w.to }

// Write writes the next sample.
func (w *Writer) Write(s *Sample) error {
	if w.next == w.to {
		panic(fmt.Sprintf("tokens: %s: sample %d for a shard that ends with %d", w.f.Name(), s.Index, w.to-1))
	}
	if err := w.h.checkSample(s, w.next); err != nil {
		return fmt.Errorf("%s: sample %d: %w", w.f.Name(), w.next, err)
	}
	w.buf = s.append(w.buf[:0], w.h.Method)
	if _, err := w.f.Write(w.buf); err != nil {
		return err
	}
	w.next++
	return nil
}

// Close makes what was written durable.
func (w *Writer) Close() error {
	return errors.Join(w.f.Sync(), w.f.Close())
}
