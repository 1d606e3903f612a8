package topk

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// File is an open file, all of which has been checked.
type File struct {
	f     *os.File
	h     Header
	start int64 // of the records
	sum   string
	buf   []byte
}

// Open opens the file at path and reads all of it, so that no record fails later but by
// the disk. progress, where it is not nil, hears of the bytes read and of all.
func Open(ctx context.Context, path string, progress func(done, all int64)) (_ *File, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := mapped.CheckRegular(path, info); err != nil { // opening a pipe would wait for a writer
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &File{f: f}
	if err := t.verify(ctx, info.Size(), progress); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return t, nil
}

// verify reads the file: its size, its sum, and each record.
func (t *File) verify(ctx context.Context, size int64, progress func(done, all int64)) error {
	sum := sha256.New()
	r := bufio.NewReaderSize(t.f, max(1<<20, maxHeader))
	start, err := r.Peek(int(min(size, maxHeader)))
	if err != nil {
		return err
	}
	h, n, err := parse(start)
	if err != nil {
		return err
	}
	if want := int64(n) + h.Tokens*int64(h.recordBytes()) + sha256.Size; size != want {
		return fmt.Errorf("%d bytes, want %d: %w: make it anew", size, want, format.ErrCorrupt)
	}
	t.h, t.start = h, int64(n)
	body := io.TeeReader(r, sum)
	if _, err := io.CopyN(io.Discard, body, t.start); err != nil {
		return err
	}
	ids, ln, b := make([]int32, h.K), make([]float32, h.K+1), make([]byte, h.recordBytes())
	for i := range h.Tokens {
		if i%(1<<14) == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if progress != nil {
				progress(t.start+i*int64(len(b)), size)
			}
		}
		if _, err := io.ReadFull(body, b); err != nil {
			return err
		}
		h.decode(b, ids, ln)
		for _, id := range ids {
			if id < 0 || int(id) >= h.VocabSize {
				return fmt.Errorf("token %d has id %d of a vocabulary of %d: %w: make it anew", i, id, h.VocabSize, format.ErrCorrupt)
			}
		}
		if slices.ContainsFunc(ln, func(v float32) bool { return !(v <= 0) }) {
			return fmt.Errorf("token %d has logarithms of probabilities %v, want 0 or less: %w: make it anew", i, ln, format.ErrCorrupt)
		}
	}
	found := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, found); err != nil {
		return err
	}
	if want := sum.Sum(nil); !slices.Equal(found, want) {
		return fmt.Errorf("SHA-256 is %x, want %x: %w: make it anew", want, found, format.ErrCorrupt)
	}
	t.sum = "sha256:" + hex.EncodeToString(found)
	return nil
}

// Header returns what the file says that it is of.
func (t *File) Header() *Header { return &t.h }

// Sum is the SHA-256 of the file's contents.
func (t *File) Sum() string { return t.sum }

// Read sets ids [n·k] and ln [n·(k+1)] to the records of n tokens from the given one on.
// Only one call at a time.
func (t *File) Read(ids []int32, ln []float32, token int) error {
	n := len(ids) / t.h.K
	if len(ids) != n*t.h.K || len(ln) != n*(t.h.K+1) || token < 0 || int64(token+n) > t.h.Tokens {
		panic(fmt.Sprintf("topk: %d ids and %d logarithms from token %d of %d on, k is %d", len(ids), len(ln), token, t.h.Tokens, t.h.K))
	}
	size := t.h.recordBytes()
	t.buf = slices.Grow(t.buf[:0], n*size)[:n*size]
	if _, err := t.f.ReadAt(t.buf, t.start+int64(token)*int64(size)); err != nil {
		return fmt.Errorf("tokens from %d on: %w", token, err)
	}
	t.h.decode(t.buf, ids, ln)
	return nil
}

// Close closes the file.
func (t *File) Close() error { return t.f.Close() }
