package qat

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/internal/filelock"
	"github.com/llmqat/llmqat/internal/long"
)

// fill writes every tensor that is left, from several goroutines.
func fill(t testing.TB, w *Writer) {
	t.Helper()
	var wg sync.WaitGroup
	for i, x := range w.Tensors() {
		if x.Kind() == Tokenizer {
			continue
		}
		wg.Go(func() {
			b := rows(x, rand.New(rand.NewPCG(uint64(i), 0)))
			for len(b) > 0 {
				n := min(len(b), 1000)
				if err := w.Write(x.Name, b[:n]); err != nil {
					t.Error(err)
				}
				b = b[n:]
			}
		})
	}
	wg.Wait()
}

// create begins a file in dir.
func create(t testing.TB, path string) *Writer {
	t.Helper()
	w, err := Create(path, tinyHeader(t))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// good checks that path is a whole file.
func good(t testing.TB, path string) {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func want(t testing.TB, dir string, files ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, files) {
		t.Errorf("the directory holds %v, want %v", got, files)
	}
}

func TestConcurrentWritesGiveTheSameFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		w := create(t, filepath.Join(dir, name))
		fill(t, w)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		good(t, filepath.Join(dir, name))
	}
	a, _ := os.ReadFile(filepath.Join(dir, "a"))
	b, _ := os.ReadFile(filepath.Join(dir, "b"))
	if !bytes.Equal(a, b) {
		t.Error("two files of the same tensors differ")
	}
}

// TestWritesAreAligned writes tensors in odd pieces: what is in the file ends at a
// multiple of writeBytes of it, or at the tensor's end, and nothing more is held.
func TestWritesAreAligned(t *testing.T) {
	h := tinyHeader(t)
	h.Tokenizer, h.Config.VocabSize = nil, 60_000 // tensors of 7.3 and 3.7 MiB
	w, err := Create(filepath.Join(t.TempDir(), "m.qat"), h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	r := rand.New(rand.NewPCG(1, 1))
	pieces := 0
	for _, x := range w.Tensors() {
		p, start := w.parts[x.Name], w.base+x.Offset
		b := make([]byte, x.Size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		for p.done < x.Size {
			n := min(1+r.Int64N([]int64{100_000, 3 * writeBytes}[r.IntN(2)]), x.Size-p.done)
			if err := w.Write(x.Name, b[p.done:p.done+n]); err != nil {
				t.Fatal(err)
			}
			written := p.done - int64(len(p.held))
			if at := start + written; at%writeBytes != 0 && written != 0 && written != x.Size || len(p.held) >= writeBytes {
				t.Fatalf("%s: %d of %d bytes are written, to byte %d of the file; %d are held", x.Name, written, x.Size, at, len(p.held))
			}
			got := make([]byte, written)
			if _, err := w.f.ReadAt(got, start); err != nil || !bytes.Equal(got, b[:written]) {
				t.Fatalf("%s: the file does not hold its first %d bytes (%v)", x.Name, written, err)
			}
			if written != 0 && written != x.Size {
				pieces++
			}
		}
	}
	if pieces < 3 {
		t.Errorf("%d states with part of a tensor written, want some", pieces)
	}
}

func TestOldFileStaysUntilCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	old := []byte("the old file")
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	still := func(step string) {
		t.Helper()
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, old) {
			t.Errorf("%s: the destination holds %d bytes (%v), want the old file", step, len(b), err)
		}
		if _, err := Open(filelock.Partial(path)); step != "aborted" && !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: the temporary file opens as a model: %v", step, err)
		}
	}
	w := create(t, path)
	still("created")
	fill(t, w)
	still("written")
	w.Abort()
	still("aborted")
	want(t, dir, "m.qat")

	w = create(t, path)
	if err := w.Commit(); err == nil || !strings.Contains(err.Error(), "0 bytes written") {
		t.Errorf("commit of nothing: %v, want the first tensor that lacks bytes", err)
	}
	still("aborted")
	want(t, dir, "m.qat")

	w = create(t, path)
	w.f.Close() // the disk fails
	err := w.Write(format.NormName, make([]byte, w.parts[format.NormName].Size))
	if err == nil {
		t.Error("write to a failed disk: no error")
	}
	if again := w.Commit(); !errors.Is(again, err) {
		t.Errorf("commit after a failed write: %v, want %v", again, err)
	}
	still("aborted")
	want(t, dir, "m.qat")

	write(t, filelock.Partial(path), tinyHeader(t)) // killed just before its rename
	w = create(t, path)
	still("created over another's")
	fill(t, w)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort() // nothing to do
	good(t, path)
	want(t, dir, "m.qat")
}

func TestDestination(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nothing", filepath.Join(dir, "dangling")); err != nil {
		t.Skip(err) // Windows without the privilege
	}
	if err := os.Symlink("m.qat", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	for _, name := range []string{"directory", "dangling", "missing/m.qat", "link" /* dangling yet */} {
		if w, err := Create(filepath.Join(dir, name), tinyHeader(t)); err == nil {
			w.Abort()
			t.Errorf("%s: no error", name)
		}
	}
	want(t, dir, before...)
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	w := create(t, filepath.Join(dir, "link"))
	fill(t, w)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	good(t, path)
	if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "m.qat" {
		t.Errorf("the link is %q (%v), want it to stay", to, err)
	}
}

// TestRenameFails lets something take the destination's name while the file is written.
func TestRenameFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	w := create(t, path)
	fill(t, w)
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err == nil {
		t.Error("commit over a directory: no error")
	}
	want(t, dir, "m.qat")
}

func TestTwoWriters(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no locks: the second writer fails at its rename")
	}
	path := filepath.Join(t.TempDir(), "m.qat")
	w := create(t, path)
	if _, err := Create(path, tinyHeader(t)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second writer: %v", err)
	}
	fill(t, w)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	good(t, path)
}

func TestWriterMisuse(t *testing.T) {
	w := create(t, filepath.Join(t.TempDir(), "m.qat"))
	defer w.Abort()
	for name, n := range map[string]int{"model.layers.9.mlp.up_proj.weight": 1, format.NormName: 12*4 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d bytes for %s: no panic", n, name)
				}
			}()
			w.Write(name, make([]byte, n))
		}()
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, change := range map[string]func(*Header){
		"no layers":           func(h *Header) { h.Config.NumHiddenLayers = 0 },
		"3 bits":              func(h *Header) { h.Quantization.Bits.W = 3 },
		"no scheme":           func(h *Header) { h.Quantization.KVScheme = "" },
		"float f16":           func(h *Header) { h.Quantization.Float = "f16" },
		"head of 4 bits":      func(h *Header) { h.Quantization.LMHeadBits = 4 },
		"tokenizer too big":   func(h *Header) { h.Config.VocabSize = 100 },
		"a book for a note":   func(h *Header) { h.Provenance.Notes = map[string]string{"k": strings.Repeat("x", maxSection)} },
		"a long template":     func(h *Header) { h.ChatTemplate = strings.Repeat("x", format.MaxChatTemplate+1) },
		"a template of bytes": func(h *Header) { h.ChatTemplate = "\xff" },
		"too many tensors":    func(h *Header) { h.Config.NumHiddenLayers = 4096 },
		"weights 16, acts 8":  func(h *Header) { h.Quantization.Bits.W = 16 },
	} {
		dir := t.TempDir()
		h := tinyHeader(t)
		change(h)
		if w, err := Create(filepath.Join(dir, "m.qat"), h); err == nil {
			w.Abort()
			t.Errorf("%s: no error", name)
		}
		want(t, dir)
	}
}

// TestKill kills processes that write a file again and again, and wants the old or
// the new file whole each time, and nothing left when a writer came through.
func TestKill(t *testing.T) {
	const env = "LLMQAT_TEST_WRITE"
	if path := os.Getenv(env); path != "" {
		for {
			w := create(t, path)
			fill(t, w)
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	w := create(t, path)
	fill(t, w)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range long.Rounds(t, 12, 12) {
		c := exec.Command(os.Args[0], "-test.run=^TestKill$")
		c.Env = append(os.Environ(), env+"="+path)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		c.Process.Kill()
		c.Wait()
		good(t, path)
	}
	w = create(t, path)
	fill(t, w)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	good(t, path)
	want(t, dir, "m.qat")
}

func TestVerifyStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.qat")
	write(t, path, tinyHeader(t))
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// TestCutWhileOpen cuts a file off that is mapped: an error, not a crash.
func TestCutWhileOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files are cut under a mapping on Linux alone here")
	}
	path := filepath.Join(t.TempDir(), "m.qat")
	write(t, path, tinyHeader(t))
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(context.Background(), nil); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}
