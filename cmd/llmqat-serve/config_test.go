package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parse reads flags as main does, with a config file.
func parse(t *testing.T, file string, args ...string) (*flags, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "llmqat.toml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var f flags
	k, err := kong.New(&f, options()...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Parse(append(args, "--config", path))
	return &f, err
}

// A flag goes before a variable, that before the file, that before the default.
func TestPrecedence(t *testing.T) {
	const file = "max-seqs = 3\nmax-queue = 30\nctx = 300\n"
	t.Setenv("LLMQAT_MAX_SEQS", "2")
	t.Setenv("LLMQAT_MAX_QUEUE", "20")
	f, err := parse(t, file, "--max-seqs", "1")
	if err != nil || f.MaxSeqs != 1 || f.MaxQueue != 20 || f.Ctx != 300 || f.MaxConns != 4096 {
		t.Errorf("%v: max-seqs %d, max-queue %d, ctx %d, max-conns %d, want 1 of the flag, 20 of the variable, 300 of the file, 4096 by default",
			err, f.MaxSeqs, f.MaxQueue, f.Ctx, f.MaxConns)
	}
}

func TestConfig(t *testing.T) {
	f, err := parse(t, `# every kind of value
model = "a b.qat"
kv-memory = "2GiB"
max-body = 1024
write-timeout = "1m30s"
verify = true
log-level = "warn"
cors-origin = ["https://a.example", "http://localhost:3000"]
`)
	if err != nil || f.Model != "a b.qat" || f.KVMemory != 2<<30 || f.MaxBody != 1024 || f.WriteTimeout != 90*time.Second || !f.Verify ||
		f.LogLevel.String() != "WARN" || len(f.CORSOrigin) != 2 || f.CORSOrigin[1] != "http://localhost:3000" {
		t.Errorf("%v: %+v", err, f)
	}
	for file, want := range map[string]string{
		"max-sesq = 1":             `llmqat.toml: "max-sesq" is no setting: did you mean "max-seqs"?`,
		"kv_memory = 1":            `did you mean "kv-memory"?`,
		"config = 'x'":             `"config" is no setting`,
		"version = true":           `"version" is no setting`,
		"[limits]\nmax-seqs = 1":   `"limits" is no setting`,
		"max-seqs = 'many'":        "max-seqs",
		"max-seqs = [[1]]":         "max-seqs: want a string, a number",
		"max-queue = -1":           "--max-queue is negative",
		"max-seqs = 1\nmax-seqs=2": "line 2",
		"max-seqs":                 "line 1",
		"cors-origin = 'evil'":     `"evil" is no origin`,
	} {
		if _, err := parse(t, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

// The file may be named by a variable, and one that is not there is told.
func TestConfigByVariable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "llmqat.toml")
	if err := os.WriteFile(path, []byte(`model-name = "from-a-file"`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--device cpu", "LLMQAT_CONFIG="+path)
	p.until(t, "model=from-a-file")
	p = start(t, "--config /no/such/file.toml")
	p.until(t, "/no/such/file.toml")
}
