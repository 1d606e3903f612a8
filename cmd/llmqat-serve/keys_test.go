package main

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// status returns that of a GET with a key, "" for none.
func (p *process) status(t *testing.T, path, key string) int {
	t.Helper()
	req, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Keys come from a file, which SIGHUP reads again, and from the environment.
func TestAPIKeys(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals to send")
	}
	file := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("alice:sk-alice\n")
	p := start(t, "--device cpu --api-keys "+file, "LLMQAT_API_KEY=sk-one")
	if logs := p.until(t, "ready"); !strings.Contains(logs, "chmod 600") || strings.Contains(logs, "everybody who can reach") {
		t.Errorf("the start-up lines:\n%s", logs)
	}
	want := func(what string, statuses map[string]int) {
		t.Helper()
		for key, status := range statuses {
			if got := p.status(t, "/v1/models", key); got != status {
				t.Errorf("%s: key %q: %d, want %d", what, key, got, status)
			}
		}
	}
	want("at first", map[string]int{"": 401, "sk-alice": 200, "sk-one": 200, "sk-bob": 401})
	write("bob:sk-bob too many\n")
	_ = p.Process.Signal(syscall.SIGHUP)
	if logs := p.until(t, "stay as they were"); strings.Contains(logs, "sk-") {
		t.Errorf("the log has a key:\n%s", logs)
	}
	want("after a bad file", map[string]int{"sk-alice": 200, "sk-bob": 401})
	write("bob:sk-bob\n")
	_ = p.Process.Signal(syscall.SIGHUP)
	p.until(t, "reloaded")
	want("after a good file", map[string]int{"sk-alice": 401, "sk-bob": 200, "sk-one": 200})
	if got := p.status(t, "/metrics", ""); got != 401 {
		t.Errorf("/metrics: %d, want 401", got)
	}
}

// Who opens the server to a network without a key is told what that means.
func TestPublicWithoutKeys(t *testing.T) {
	p := start(t, "--device cpu --addr 0.0.0.0:0")
	if logs := p.until(t, "ready"); !strings.Contains(logs, "everybody who can reach") {
		t.Errorf("no warning:\n%s", logs)
	}
}
