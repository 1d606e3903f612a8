package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/topk"
	"github.com/llmqat/llmqat/kernels/cpu"
)

const teacherHash = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"

// storedLogits is a file of the teacher's k likeliest tokens of all windows of data(1, 30).
func storedLogits(t *testing.T, k int) (path string) {
	t.Helper()
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	path = filepath.Join(t.TempDir(), "teacher.topk")
	if err := StoreLogits(context.Background(), path, dev, teacher(), teacherHash, data(1, 30), 16, k, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	return path
}

func opened(t *testing.T, path string) *topk.File {
	t.Helper()
	f, err := OpenLogits(context.Background(), path, teacherHash, 40, data(1, 30), 16, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A run by the stored probabilities of all tokens is, but for rounding, one by the
// teacher: each window has its own. One by some of them trains, too, and after an
// interruption, on other threads, is the same.
func TestStoredLogits(t *testing.T) {
	c := config()
	c.Steps, c.SaveEvery = 20, 0
	whole := data(1, 30)
	first, rest, err := whole.Split(whole.Len() - 3) // the file is of all windows, those set aside, too
	if err != nil {
		t.Fatal(err)
	}
	logs := func(f *topk.File) (lines []Line) {
		dir := t.TempDir()
		if err := start(context.Background(), dir, 1, c, Options{Data: first, Held: rest, Logits: f}); err != nil {
			t.Fatal(err)
		}
		if lines, err = ReadLog(filepath.Join(dir, logName)); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	want, got := logs(nil), logs(opened(t, storedLogits(t, 40)))
	for i, l := range want {
		// Float32's 1e-7 grows a little from step to step where a value is rounded to 4 bits.
		if g := got[i]; g.Step != l.Step || !(math.Abs(g.KL/l.KL-1) < 0.02 && math.Abs(g.TeacherPPL/l.TeacherPPL-1) < 1e-4) || i == 1 && math.Abs(g.KL/l.KL-1) > 1e-5 {
			t.Errorf("line %d: by stored logits KL %v, teacher %v; by the teacher %v, %v", i, g.KL, g.TeacherPPL, l.KL, l.TeacherPPL)
		}
	}

	c.Soft = 1
	path := storedLogits(t, 4)
	dir, alone := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err = start(ctx, dir, 2, c, Options{Logits: opened(t, path), Log: func(l Line) {
		if l.Step == 7 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := start(context.Background(), dir, 2, c, Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "logits") {
		t.Errorf("resumed without the file: %v", err)
	}
	if err := errors.Join(start(context.Background(), dir, 3, c, Options{Logits: opened(t, path), Resume: true}), start(context.Background(), alone, 1, c, Options{Logits: opened(t, path)})); err != nil {
		t.Fatal(err)
	}
	if x, y := outcome(t, dir), outcome(t, alone); x != y {
		t.Errorf("interrupted:\n%s\nalone:\n%s", x, y)
	}
}

func TestOpenLogitsRefuses(t *testing.T) {
	path := storedLogits(t, 4)
	ctx, d := context.Background(), data(1, 30)
	for want, open := range map[string]func() (*topk.File, error){
		"vocabulary of 40": func() (*topk.File, error) { return OpenLogits(ctx, path, teacherHash, 41, d, 16, nil) },
		"another teacher":  func() (*topk.File, error) { return OpenLogits(ctx, path, "sha256:x", 40, d, 16, nil) },
		"--length":         func() (*topk.File, error) { return OpenLogits(ctx, path, teacherHash, 40, d, 15, nil) },
		"other data":       func() (*topk.File, error) { return OpenLogits(ctx, path, teacherHash, 40, data(2, 30), 16, nil) },
		"no such file":     func() (*topk.File, error) { return OpenLogits(ctx, path+"x", teacherHash, 40, d, 16, nil) },
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want one that names the file and says %q", err, want)
		}
	}
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	none := filepath.Join(t.TempDir(), "none")
	if err := StoreLogits(stopped, none, dev, teacher(), teacherHash, d, 16, 4, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("interrupted, it left a file: %v", err)
	}
	if err := StoreLogits(ctx, none, dev, teacher(), teacherHash, d, 16, 41, nil); err == nil || !strings.Contains(err.Error(), "want 1 to 40") {
		t.Errorf("41 of 40 tokens: %v", err)
	}
	c := config()
	c.TopK, c.AttentionLoss = 4, 1
	if _, err := c.Resolve(teacher().Config()); err == nil || !strings.Contains(err.Error(), "attention loss is 1") {
		t.Errorf("attention, of which nothing is stored: %v", err)
	}
}
