package topk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
)

func header(vocab, k int, tokens int64) Header {
	return Header{
		Teacher: "sha256:" + strings.Repeat("0a", 32), Data: "sha256:" + strings.Repeat("1b", 32),
		Length: 8, VocabSize: vocab, K: k, Tokens: tokens,
	}
}

// written is a file of h and its rows.
func written(t *testing.T, h Header) (path string, ids []int32, ln []float32) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int(h.Tokens) {
		for j := range h.K {
			ids, ln = append(ids, int32((i*7+j*h.VocabSize/h.K)%h.VocabSize)), append(ln, -float32(i+j)/3)
		}
		ln = append(ln, float32(math.Inf(-1)))
		if err := w.Row(ids[i*h.K:], ln[i*(h.K+1):]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "x.topk")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path, ids, ln
}

func TestRoundTrip(t *testing.T) {
	for _, h := range []Header{header(40, 40, 5), header(1<<16, 3, 9), header(1<<16+1, 3, 9), header(1, 1, 1)} {
		path, ids, ln := written(t, h)
		f, err := Open(context.Background(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h.Format, h.Version = formatName, Version
		if *f.Header() != h || len(f.Sum()) != len(h.Data) {
			t.Errorf("header %+v, want %+v; sum %s", *f.Header(), h, f.Sum())
		}
		for from := range int(h.Tokens) {
			n := int(h.Tokens) - from
			gotIDs, gotLn := make([]int32, n*h.K), make([]float32, n*(h.K+1))
			if err := f.Read(gotIDs, gotLn, from); err != nil || !slices.Equal(gotIDs, ids[from*h.K:]) || !slices.Equal(gotLn, ln[from*(h.K+1):]) {
				t.Fatalf("from token %d on: %v and %v (%v)", from, gotIDs, gotLn, err)
			}
		}
	}
}

// Each bit counts, and each byte; what the sum vouches for is looked at all the same.
func TestMalformed(t *testing.T) {
	path, _, _ := written(t, header(40, 3, 4))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := Open(context.Background(), path, nil)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !errors.Is(err, format.ErrCorrupt) && !strings.Contains(err.Error(), "version") {
			t.Errorf("%s: %v, want ErrCorrupt that names the file", name, err)
		}
	}
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 1 << (i % 8)
		open(fmt.Sprintf("bit %d of byte %d", i%8, i), b)
		open(fmt.Sprintf("%d of %d bytes", i, len(whole)), whole[:i])
	}
	open("a byte too many", append(slices.Clone(whole), 0))
	for name, row := range map[string]struct {
		id int32
		ln float32
	}{"an id past the vocabulary": {40, -1}, "a probability above 1": {1, 0.1}, "no number": {1, float32(math.NaN())}} {
		var b bytes.Buffer
		w, err := NewWriter(&b, header(40, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Row([]int32{row.id}, []float32{row.ln, -1}), w.Close()); err != nil {
			t.Fatal(err)
		}
		open(name, b.Bytes())
	}
	for _, h := range []Header{header(0, 1, 1), header(40, 41, 1), header(40, 0, 1), header(40, 1, 0), {VocabSize: 40, K: 1, Tokens: 1, Length: 8}} {
		if _, err := NewWriter(new(bytes.Buffer), h); err == nil {
			t.Errorf("%+v was written", h)
		}
	}
	if _, err := Open(context.Background(), t.TempDir(), nil); err == nil {
		t.Error("a directory was opened")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
