package main

import (
	"bufio"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// During --drain-delay requests are still taken, while /ready says that they should go elsewhere; after it the ones
// under way end.
func TestDrainDelay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals to send")
	}
	p := start(t, "--device cpu --log-format json --drain-delay 2s")
	p.until(t, `"ready"`)
	resp, err := http.Post(p.url+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"x","max_tokens":400,"ignore_eos":true,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.until(t, "draining")
	for path, want := range map[string]int{"/ready": 503, "/health": 200, "/v1/models": 200} {
		if got := p.status(t, path, ""); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	p.complete(t, `{"prompt":"x","max_tokens":1}`)
	last := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if last != "data: [DONE]" {
		t.Errorf("the stream ends with %q", last)
	}
	p.until(t, "drained")
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

// A second signal does not wait for the delay either.
func TestSecondSignalInTheDelay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals to send")
	}
	p := start(t, "--device cpu --drain-delay 10m")
	p.until(t, "ready")
	for _, logs := range []string{"draining", "exit at once"} {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		p.until(t, logs)
	}
	if err := p.Wait(); err == nil {
		t.Error("ended well")
	}
}
