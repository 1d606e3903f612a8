package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// As a child of TestProcess the test binary is the command itself.
func TestMain(m *testing.M) {
	if os.Getenv("LLMQAT_SERVE_TEST") != "" {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv("LLMQAT_SERVE_TEST"))...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is a running llmqat-serve.
type process struct {
	*exec.Cmd
	url  string
	tmp  string // its TMPDIR
	logs *bufio.Scanner
}

// listensAt finds the URL in a log of either format.
var listensAt = regexp.MustCompile(`listening.*\burl(?:=|":")([^" ]+)`)

func start(t *testing.T, args string, env ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), tmp: t.TempDir()}
	p.Env = append(os.Environ(), append(env, "LLMQAT_SERVE_TEST=--addr 127.0.0.1:0 "+args, "TMPDIR="+p.tmp)...)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.logs = bufio.NewScanner(stderr)
	return p
}

// until reads the log to the line that holds what, and returns all lines read.
func (p *process) until(t *testing.T, what string) string {
	t.Helper()
	var read strings.Builder
	for p.logs.Scan() {
		line := p.logs.Text()
		read.WriteString(line + "\n")
		if m := listensAt.FindStringSubmatch(line); m != nil {
			p.url = m[1]
		}
		if strings.Contains(line, what) {
			return read.String()
		}
	}
	t.Fatalf("no %q in the log:\n%s", what, read.String())
	return ""
}

// leftNothing checks that the demo model's file is gone.
func (p *process) leftNothing(t *testing.T) {
	t.Helper()
	if left, _ := os.ReadDir(p.tmp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (p *process) complete(t *testing.T, body string) (text string) {
	t.Helper()
	resp, err := http.Post(p.url+"/v1/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	var answer struct{ Choices []struct{ Text string } }
	if err == nil {
		err = json.Unmarshal(data, &answer)
	}
	if err != nil || resp.StatusCode != 200 || len(answer.Choices) != 1 {
		t.Fatalf("%d %s: %v", resp.StatusCode, data, err)
	}
	return answer.Choices[0].Text
}

// The demo model tells stories, and the process ends well on SIGTERM.
func TestDemo(t *testing.T) {
	p := start(t, "--device cpu --threads 1", "LLMQAT_MODEL_NAME=story")
	logs := p.until(t, "ready")
	for _, want := range []string{"name=cpu/", "threads=1", "layers=5", "bits=4-8-4", "kv_cache=", "model=story"} {
		if !strings.Contains(logs, want) {
			t.Errorf("the start-up lines lack %q:\n%s", want, logs)
		}
	}
	const body = `{"model":"story","prompt":"Once upon a time","max_tokens":24,"temperature":0}`
	text := p.complete(t, body)
	if !strings.HasPrefix(text, ", there was a little") {
		t.Errorf("the story goes on with %q", text)
	}
	if again := p.complete(t, body); again != text {
		t.Errorf("the same again: %q, then %q", text, again)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.until(t, "drained")
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	p.leftNothing(t)
}

// A second signal does not wait for the requests under way.
func TestSecondSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals to send")
	}
	p := start(t, "--drain-timeout 10m --read-timeout 10m")
	p.until(t, "ready")
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /v1/completions HTTP/1.1\r\n") // a request that does not end
	p.complete(t, `{"prompt":"x","max_tokens":1}`)         // the one before it was accepted
	for _, logs := range []string{"draining", "exit at once"} {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		p.until(t, logs)
	}
	done := make(chan error, 1)
	go func() { done <- p.Wait() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("still there")
	}
	p.leftNothing(t)
}

func TestStartFails(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.qat")
	if err := os.WriteFile(bad, []byte("not a model"), 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for args, want := range map[string]string{
		"--addr " + taken.Addr().String():         "choose another",
		"--model /no/such/file.qat":               "/no/such/file.qat",
		"--model " + bad:                          bad,
		"--kv-memory 1kB":                         "KV cache",
		"--kv-memory many":                        "many",
		"--ctx 100000":                            "context",
		"--threads=-1":                            "-1 threads",
		"--max-queue=-1":                          "--max-queue is negative",
		"--write-timeout=-1s":                     "--write-timeout is negative",
		"--model .":                               "llmqat quantize",
		"--device gpu":                            "want auto, cpu, cuda",
		"--device cuda:999":                       "device cuda:999",
		"--log-level loud":                        "loud",
		"--addr 256.0.0.1:1":                      "256.0.0.1",
		"--chat-template nope":                    "alpaca, chatml",
		"--api-keys /no/such/keys":                "/no/such/keys",
		"--tls-cert /no/such/cert":                "go together",
		"--tls-cert x.pem --tls-key y":            "x.pem: no such file",
		"--cors-origin http://a/":                 "is no origin",
		"--log-format loud":                       "loud",
		"--plan --ctx 100000":                     "context",
		"--plan --kv-memory 600GB":                "are available",
		"--healthcheck http://127.0.0.1:1/health": "127.0.0.1:1",
		"--api-keys " + bad:                       "line 1 has 3 words",
	} {
		p := start(t, args)
		var logs strings.Builder
		for p.logs.Scan() {
			logs.WriteString(p.logs.Text() + "\n")
		}
		if err := p.Wait(); err == nil || !strings.Contains(logs.String(), want) || strings.Contains(logs.String(), "panic") {
			t.Errorf("%s: exit %v, and the log does not name %q:\n%s", args, err, want, logs.String())
		}
	}
}

func TestBytes(t *testing.T) {
	for s, want := range map[string]bytes{
		"0": 0, "4096": 4096, "4kB": 4000, "4KiB": 4096, "512MB": 512e6, "2GiB": 2 << 30, "1.5GB": 1.5e9, "2 MB": 2e6, "3G": 3 << 30, "7B": 7,
	} {
		var b bytes
		if err := b.UnmarshalText([]byte(s)); err != nil || b != want {
			t.Errorf("%q: %d, %v, want %d", s, int64(b), err, int64(want))
		}
	}
	for _, s := range []string{"", "B", "x", "-1", "1XB", "NaN", "1e30TB", "Inf", "--"} {
		var b bytes
		if err := b.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q: %d, want an error", s, int64(b))
		}
	}
	for b, want := range map[bytes]string{9999: "9999 bytes", 261394: "261 kB", 64e6: "64 MB", 12.5e9: "12.5 GB"} {
		if got := fmt.Sprint(b); got != want {
			t.Errorf("%d is %q, want %q", int64(b), got, want)
		}
	}
}
