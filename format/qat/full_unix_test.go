//go:build unix

package qat

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/llmqat/llmqat/internal/long"
)

// TestDiskFull writes a file in processes that may write less and less of it, the last write of each cut short: an
// error that names the file, the old file whole, and nothing left behind. LLMQAT_LONG says how many sizes.
func TestDiskFull(t *testing.T) {
	const path, room = "LLMQAT_TEST_WRITE", "LLMQAT_TEST_FULL"
	if path := os.Getenv(path); path != "" {
		n, _ := strconv.ParseUint(os.Getenv(room), 10, 64)
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("error:", writeAll(t, path))
		return
	}
	dir := t.TempDir()
	old := filepath.Join(dir, "m.qat")
	if err := writeAll(t, old); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	n := long.Rounds(t, 12, 6)
	for i := range n {
		size := len(was) * i / n
		c := exec.Command(os.Args[0], "-test.run=^TestDiskFull$")
		c.Env = append(os.Environ(), path+"="+old, fmt.Sprintf("%s=%d", room, size))
		out, _ := c.CombinedOutput()
		if _, says, ok := strings.Cut(string(out), "error: "); !ok || !strings.Contains(says, "m.qat") || !strings.Contains(says, "file too large") {
			t.Errorf("with room for %d of %d bytes it says %.300s, want an error that names the file", size, len(was), out)
		}
		if now, err := os.ReadFile(old); err != nil || !bytes.Equal(now, was) {
			t.Fatalf("with room for %d bytes the old file has changed (%v)", size, err)
		}
		want(t, dir, "m.qat")
	}
	t.Logf("%d sizes below %d bytes", n, len(was))
}

// writeAll writes a small file, or returns the first error.
func writeAll(t *testing.T, path string) error {
	w, err := Create(path, tinyHeader(t))
	if err != nil {
		return err
	}
	defer w.Abort()
	for i, x := range w.Tensors() {
		if x.Kind() == Tokenizer {
			continue
		}
		if err := w.Write(x.Name, rows(x, rand.New(rand.NewPCG(uint64(i), 0)))); err != nil {
			return err
		}
	}
	return w.Commit()
}
