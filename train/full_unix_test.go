//go:build unix

package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/llmqat/llmqat/internal/long"
)

// fullAt, as "step:bytes", makes the child's run one on a disk that is full from that step
// on: no file can have more bytes.
const fullAt = "LLMQAT_TEST_FULL"

// fills returns what has writes fail, as on a full disk, once a run says that it is there.
func fills() func(Line) {
	var step int
	var room uint64
	if n, _ := fmt.Sscanf(os.Getenv(fullAt), "%d:%d", &step, &room); n != 2 {
		return nil
	}
	return func(l Line) {
		if l.Step != step {
			return
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: room}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
}

// A full disk, whatever it is that does not fit, ends the run with an error that names
// the file and the way out; what was saved before stays whole, and once there is room the
// run goes on as if nothing had been.
func TestDiskFull(t *testing.T) {
	long.Sequential(t)
	want := t.TempDir()
	if err := start(context.Background(), want, 2, config(), Options{}); err != nil {
		t.Fatal(err)
	}
	size := func(name string) int64 {
		info, err := os.Stat(filepath.Join(want, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for _, c := range []struct {
		name string
		step int
		room int64
		at   string // where it ends
	}{
		{"the first evaluation", -1, size(studentName) - 100, servedName},
		{"the first best", -1, size(bestName) - 100, bestName},
		{"a log", 13, 100, logName},
		{"a checkpoint", 13, size(bestName) - 100, "step-000000000016.safetensors"},
		{"an evaluation", 17, size(studentName) - 100, "evaluation after step 20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d:%d", fullAt, c.step, c.room))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), c.at) || !strings.Contains(string(out), "free some space") {
				t.Fatalf("with room for %d bytes it ended with %v and said %s, want an error that names %s and the way out", c.room, err, out, c.at)
			}
			if err := start(context.Background(), dir, 2, config(), Options{Resume: true}); err != nil {
				t.Fatal(err)
			}
			if x, y := outcome(t, dir), outcome(t, want); x != y {
				t.Errorf("after a full disk:\n%s\nalone:\n%s", x, y)
			}
		})
	}
}
