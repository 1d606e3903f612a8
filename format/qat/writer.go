package qat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/llmqat/llmqat/internal/replace"
)

// Writer writes a .qat file beside its destination and puts it there whole by
// Commit. Until then the destination keeps what it had.
type Writer struct {
	path    string // destination, symbolic links followed
	f       *replace.Pending
	header  *Header
	tensors []Tensor // offsets from the start of the data
	parts   map[string]*part
	base    int64 // where data begin

	mu  sync.Mutex
	err error // the first failure of Write
}

// part is a tensor being written.
type part struct {
	*Tensor
	mu   sync.Mutex
	done int64 // bytes taken, of which held are not yet in the file
	held []byte
	sum  hash.Hash
}

// writeBytes is the size of the writes to a file, and what they start at a multiple
// of. The system caches what is written in pieces of the size it was written in, and
// reads from 4 KiB pieces half as fast as from these (20 against 38 GB/s, Zen 4).
const writeBytes = 1 << 20

// Create begins a file with h's model, tokenizer included; every other tensor is
// then written by Write. The caller ends with Commit or Abort. Until Commit, h may
// change where its JSON keeps its length: a hash may be known last.
//
// A symbolic link at path is followed; anything but a regular file there is
// refused. The temporary file is path's with a dot before and ".partial" behind
// it: one that a killed process left is overwritten, one being written is an error.
func Create(path string, h *Header) (*Writer, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var name string
	var tok []byte
	if h.Tokenizer != nil {
		name, tok = h.Tokenizer.File()
	}
	w := &Writer{header: h, parts: map[string]*part{}}
	var size int64
	w.tensors, size = h.layout(name, int64(len(tok)))
	header, err := h.encode(w.tensors)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w.base = int64(len(header))
	for i := range w.tensors {
		t := &w.tensors[i]
		w.parts[t.Name] = &part{Tensor: t, sum: sha256.New()}
	}
	if w.f, err = replace.Begin(path); err != nil {
		return nil, err
	}
	w.path = w.f.Path
	if err := reserve(w.f.File, w.base+size); err != nil {
		w.Abort()
		return nil, fmt.Errorf("%s takes %d bytes: %w", w.path, w.base+size, err)
	}
	if name != "" {
		if err := w.Write(name, tok); err != nil {
			w.Abort()
			return nil, err
		}
	}
	return w, nil
}

// Tensors returns what is to be written, in the order of the file. Offsets count
// from the start of the data.
func (w *Writer) Tensors() []Tensor {
	list := make([]Tensor, len(w.tensors))
	for i, t := range w.tensors {
		t.SHA256 = ""
		list[i] = t
	}
	return list
}

// Write appends bytes, as stored, to the named tensor; a failure may show in a later
// Write or Commit. Tensors may be written in any order and, different ones, by
// several goroutines. A name that the model has
// not, or too many bytes, is the caller's bug and panics.
func (w *Writer) Write(name string, b []byte) error {
	p, ok := w.parts[name]
	if !ok {
		panic(fmt.Sprintf("qat: the model has no tensor %q", name))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.Size - p.done; int64(len(b)) > left {
		panic(fmt.Sprintf("qat: %d bytes for tensor %q, which lacks %d of %d", len(b), name, left, p.Size))
	}
	p.sum.Write(b)
	for len(b) > 0 {
		at := w.base + p.Offset + p.done
		n := min(int(writeBytes-at%writeBytes), len(b))
		p.held, b = append(p.held, b[:n]...), b[n:]
		p.done += int64(n)
		if (at+int64(n))%writeBytes == 0 || p.done == p.Size {
			if err := w.flush(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what p holds.
func (w *Writer) flush(p *part) error {
	_, err := w.f.WriteAt(p.held, w.base+p.Offset+p.done-int64(len(p.held)))
	if p.held = p.held[:0]; p.done == p.Size {
		p.held = nil
	}
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = errors.Join(w.err, err)
	}
	return err
}

// Commit writes the header, makes all of it durable and puts the file in its
// place. A tensor not written to its end is an error. Whatever Commit returns, the
// Writer is finished and its temporary file gone; an error leaves the destination
// as it was, unless all that failed is to make the new name durable.
func (w *Writer) Commit() error {
	w.mu.Lock()
	err := w.err
	w.mu.Unlock()
	for i := range w.tensors {
		t := &w.tensors[i]
		p := w.parts[t.Name]
		if p.done != t.Size && err == nil {
			err = fmt.Errorf("%s: tensor %q has %d bytes written, want %d", w.path, t.Name, p.done, t.Size)
		}
		t.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		w.Abort()
	}
	return err
}

func (w *Writer) finish() error {
	header, err := w.header.encode(w.tensors)
	if err != nil {
		return err
	}
	if int64(len(header)) != w.base {
		panic(fmt.Sprintf("qat: %s: the header was changed while the file was written", w.path))
	}
	if _, err := w.f.WriteAt(header, 0); err != nil {
		return err
	}
	f := w.f
	w.f = nil
	return f.Commit()
}

// Abort gives the file up and leaves nothing of it. After Commit it does nothing.
func (w *Writer) Abort() {
	if w.f == nil {
		return
	}
	w.f.Abort()
	w.f = nil
}
