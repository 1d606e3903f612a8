package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmqat/llmqat/internal/long"
)

// childDir makes the test binary a run that its parent kills, dieAt one that kills itself
// at the n-th place that it reaches.
const (
	childDir = "LLMQAT_TEST_RUN"
	dieAt    = "LLMQAT_TEST_DIE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fill := fills()
		if fill != nil {
			fill(Line{Step: -1})
		}
		if n, err := strconv.Atoi(os.Getenv(dieAt)); err == nil {
			var places atomic.Int64
			reached = func() {
				if places.Add(1) == int64(n) {
					self, _ := os.FindProcess(os.Getpid())
					self.Kill()
					select {}
				}
			}
		}
		_, err := os.Stat(filepath.Join(dir, configName))
		if err := start(context.Background(), dir, 1, config(), Options{Resume: err == nil, Log: fill}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A run that is killed at random moments, and begun again each time, has the log and
// the weights of one that was left alone.
func TestKillAndResume(t *testing.T) {
	long.Sequential(t)
	want := t.TempDir()
	if err := start(context.Background(), want, 2, config(), Options{}); err != nil {
		t.Fatal(err)
	}
	kills := long.Rounds(t, 12, 12)
	r := rand.New(rand.NewPCG(uint64(kills), 1))
	for done := 0; done < kills; {
		dir := t.TempDir()
		for most := 250; ; most += 50 { // a busy machine, too, comes to an end
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childDir+"="+dir)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(r.IntN(most))*time.Millisecond, func() { cmd.Process.Kill() })
			err := cmd.Wait()
			timer.Stop()
			if err == nil {
				break
			}
			if cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("%v: %s", err, &stderr)
			}
			done++
		}
		if x, y := outcome(t, dir), outcome(t, want); x != y {
			t.Fatalf("after kills:\n%s\nalone:\n%s", x, y)
		}
	}
}

// A run that is killed behind its last checkpoint, before those that it takes the place of are gone, leaves none of them.
func TestKillBeforePrune(t *testing.T) {
	long.Sequential(t)
	dir := t.TempDir()
	if err := start(context.Background(), dir, 1, config(), Options{}); err != nil {
		t.Fatal(err)
	}
	want := outcome(t, dir)
	if err := os.WriteFile(filepath.Join(dir, ckptPrefix+"000000000001"+ckptSuffix), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := start(context.Background(), dir, 1, config(), Options{Resume: true}); err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, dir); got != want {
		t.Errorf("resumed:\n%s\nalone:\n%s", got, want)
	}
}

// A run that dies at the first place of an evaluation or an export, is begun again, dies at
// the second, and so on to the last place of all, has the log and the files of one that
// was left alone: before, amid and behind each file, and between the rows of its logits.
func TestKillInEvaluation(t *testing.T) {
	long.Sequential(t)
	want, dir := t.TempDir(), t.TempDir()
	if err := start(context.Background(), want, 2, config(), Options{}); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", dieAt, n))
		out, err := cmd.CombinedOutput()
		if err == nil {
			if n < 20 {
				t.Errorf("%d places in all: the test shows little", n)
			}
			break
		}
		if cmd.ProcessState.Exited() {
			t.Fatalf("place %d: %v: %s", n, err, out)
		}
	}
	if x, y := outcome(t, dir), outcome(t, want); x != y {
		t.Errorf("after kills:\n%s\nalone:\n%s", x, y)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.qat*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Two processes do not train in one folder; the other one may go on when the first ends.
func TestLocked(t *testing.T) {
	long.Sequential(t)
	if runtime.GOOS == "windows" {
		t.Skip("no locks there")
	}
	dir, want := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err := start(ctx, dir, 1, config(), Options{Log: func(l Line) {
		if l.Step == 3 {
			err := start(context.Background(), dir, 1, config(), Options{Resume: true})
			if !errors.Is(err, syscall.EWOULDBLOCK) || !strings.Contains(err.Error(), dir+": another process trains in this folder") {
				t.Errorf("a second run: %v", err)
			}
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := errors.Join(start(context.Background(), dir, 1, config(), Options{Resume: true}), start(context.Background(), want, 1, config(), Options{})); err != nil {
		t.Fatal(err)
	}
	if x, y := outcome(t, dir), outcome(t, want); x != y {
		t.Errorf("with an intruder:\n%s\nalone:\n%s", x, y)
	}
}

// A run that is interrupted amid an evaluation ends there, and does it again later.
func TestInterruptInEvaluation(t *testing.T) {
	long.Sequential(t)
	want := t.TempDir()
	if err := start(context.Background(), want, 2, config(), Options{}); err != nil {
		t.Fatal(err)
	}
	defer func() { reached = func() {} }()
	for _, n := range []int{1, 5, 20} { // the first file, its logits, and those of a later evaluation
		dir, places := t.TempDir(), 0
		ctx, cancel := context.WithCancel(context.Background())
		reached = func() {
			if places++; places == n {
				cancel()
			}
		}
		held := 0
		err := start(ctx, dir, 1, config(), Options{Log: func(l Line) {
			if l.Held {
				held++
			}
		}})
		if _, e := os.Stat(filepath.Join(dir, stoppedName)); !errors.Is(err, context.Canceled) || e != nil || held != n/20 {
			t.Fatalf("place %d: ended with %v after %d evaluations, want %d and the state saved (%v)", n, err, held, n/20, e)
		}
		reached = func() {}
		if err := start(context.Background(), dir, 2, config(), Options{Resume: true}); err != nil {
			t.Fatal(err)
		}
		if x, y := outcome(t, dir), outcome(t, want); x != y {
			t.Errorf("interrupted at place %d:\n%s\nalone:\n%s", n, x, y)
		}
	}
}
