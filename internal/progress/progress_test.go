package progress

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSilentElsewhere(t *testing.T) {
	var b bytes.Buffer
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, bar := range []func() (func(int64, int64), func()){
		func() (func(int64, int64), func()) { return Bar(&b, "x") },
		func() (func(int64, int64), func()) { return Bar(f, "x") },
	} {
		step, end := bar()
		step(1, 2)
		end()
	}
	if info, _ := f.Stat(); b.Len() > 0 || info.Size() > 0 {
		t.Errorf("%d and %d bytes written", b.Len(), info.Size())
	}
}

// On a terminal, which script(1) provides, the bar names what it is about.
func TestTerminal(t *testing.T) {
	if os.Getenv("PROGRESS_TERMINAL") != "" {
		step, end := Bar(os.Stderr, "counting sheep")
		step(1, 2)
		step(2, 2)
		end()
		return
	}
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script(1) is not installed")
	}
	cmd := exec.Command(script, "-qec", os.Args[0]+" -test.run=TestTerminal", os.DevNull)
	cmd.Env = append(os.Environ(), "PROGRESS_TERMINAL=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "counting sheep") {
		t.Errorf("%v: %q", err, out)
	}
}

// The first report comes an interval after the start, the next an interval later, none
// at the end; half way there the rest takes as long.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []int64
		step := Every(2*time.Second, func(done, total int64, left time.Duration) {
			told = append(told, done, total, int64(left/time.Second))
		})
		step(10, 100)
		time.Sleep(2 * time.Second)
		step(50, 100)
		step(60, 100)
		time.Sleep(2 * time.Second)
		step(0, 100)
		step(80, 100)
		time.Sleep(2 * time.Second)
		step(100, 100)
		if want := []int64{50, 100, 2, 80, 100, 1}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}
