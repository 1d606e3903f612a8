package progress

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
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
