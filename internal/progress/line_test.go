package progress

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Where there is no terminal, lines come an interval apart, the first after one.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		tell, end := Line(&b, 30*time.Second)
		for _, text := range []string{"at 0", "at 20", "at 40", "at 60", "at 80"} {
			tell(text)
			time.Sleep(20 * time.Second)
		}
		end()
		if got := b.String(); got != "at 40\nat 80\n" {
			t.Errorf("told %q", got)
		}
	})
}

// On a terminal, which script(1) provides, there is one line.
func TestLineOnTerminal(t *testing.T) {
	if os.Getenv("PROGRESS_TERMINAL") != "" {
		tell, end := Line(os.Stderr, time.Hour)
		tell("one sheep")
		tell("two sheep")
		end()
		return
	}
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script(1) is not installed")
	}
	cmd := exec.Command(script, "-qec", os.Args[0]+" -test.run=TestLineOnTerminal", os.DevNull)
	cmd.Env = append(os.Environ(), "PROGRESS_TERMINAL=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\r\x1b[Kone sheep\r\x1b[Ktwo sheep\r\x1b[K") {
		t.Errorf("%v: %q", err, out)
	}
}
