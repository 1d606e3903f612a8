package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmqat/llmqat/internal/long"
)

// dial opens a connection to the process.
func (p *process) dial() (net.Conn, error) {
	return net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
}

// ask sends a request over a connection of its own, whose answer is to come within a minute.
func (p *process) ask(t *testing.T, body string) net.Conn {
	t.Helper()
	c, err := p.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, request(body))
	return c
}

// memory is a line of /proc/PID/status, in KiB.
func (p *process) memory(t *testing.T, key string) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", key, data)
	return 0
}

// cpu is the processor time that the process has used, to 10 ms.
func (p *process) cpu(t *testing.T) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:])) // from the state on, field 3
	user, err1 := strconv.Atoi(f[14-3])
	system, err2 := strconv.Atoi(f[15-3])
	if err1 != nil || err2 != nil {
		t.Fatalf("%s: %v, %v", data, err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// files counts the process' file descriptors.
func (p *process) files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// follow drops the log to its end, so that the process can go on writing.
func (p *process) follow() {
	go func() {
		for p.logs.Scan() {
		}
	}()
}

// With few file descriptors a flood of connections is waited out: who is connected is served, and others are as
// soon as there is room.
func TestFewDescriptors(t *testing.T) {
	p := ready(t, "--threads 1")
	few := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	p.follow()
	kept := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: time.Minute}
	const body = `{"prompt":"x","max_tokens":4,"temperature":0}`
	if _, err := postTo(kept, p.url, body); err != nil {
		t.Fatal(err)
	}
	n := long.Rounds(t, 200, 100)
	var flood []net.Conn
	for i := range n {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(p.url, "http://"), time.Second)
		if err != nil {
			t.Logf("connection %d: %v", i, err) // the backlog is full: as good as refused
			break
		}
		flood = append(flood, c)
		if i%(n/4) == n/4-1 {
			if _, err := postTo(kept, p.url, body); err != nil {
				t.Errorf("a client that was connected before, after %d connections: %v", i+1, err)
			}
		}
	}
	if files := p.files(t); files < 60 {
		t.Errorf("the process has %d files open: the flood does not reach its limit", files)
	}
	begin := time.Now()
	for _, c := range flood {
		c.Close()
	}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	if _, err := postTo(fresh, p.url, body); err != nil {
		t.Errorf("a new client after the flood: %v", err)
	}
	took := time.Since(begin)
	t.Logf("%d connections; a new client was served %v after they closed", len(flood), took.Round(time.Millisecond))
	if long.Run() && took > 2*time.Second {
		t.Errorf("recovered in %v, want 2 s", took)
	}
}

// ready starts a process and reads its log to the line that says so.
func ready(t *testing.T, args string) *process {
	t.Helper()
	p := start(t, args)
	p.until(t, "ready")
	return p
}

// Requests under way on SIGTERM are answered to their ends, others are refused, and the process ends well.
func TestDrains(t *testing.T) {
	for i := range long.Rounds(t, 2, 1) {
		drains(t, i)
		if t.Failed() {
			t.Fatalf("in drain %d", i)
		}
	}
}

func drains(t *testing.T, round int) {
	p := ready(t, "--threads 1")
	defer p.Process.Kill()
	var streams []*bufio.Reader
	for range 6 {
		r := bufio.NewReader(p.ask(t, `{"prompt":"Once","max_tokens":400,"ignore_eos":true,"stream":true}`))
		if err := tokens(r, 1); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, r)
	}
	var plain sync.WaitGroup
	for range 4 {
		c := p.ask(t, `{"prompt":"Once","max_tokens":400,"ignore_eos":true}`)
		plain.Go(func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("a request under way: %v, %v", resp, err)
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("a request under way: %v", err)
			}
		})
	}
	for asked := time.Now(); ; { // until the last of them was read
		resp, err := http.Get(p.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(data), "\nllmqat_prompt_tokens_total 20\n") {
			break
		}
		if time.Since(asked) > 20*time.Second {
			t.Fatalf("10 prompts of 2 tokens are not there:\n%s", data)
		}
	}
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for i, r := range streams {
		data, err := io.ReadAll(r)
		if err != nil && err != io.ErrUnexpectedEOF || !strings.Contains(string(data), "data: [DONE]\n\n\r\n0\r\n") {
			t.Errorf("stream %d ends with %.100q (%v)", i, data[max(0, len(data)-100):], err)
		}
	}
	plain.Wait()
	p.until(t, "drained")
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if c, err := p.dial(); err == nil {
		c.Close()
		t.Error("somebody listens still")
	}
}

// A model file that is replaced, as by quantize, goes on being served as it was; one that is cut off fails
// requests, and the process lives.
func TestModelFileChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("m.qat", demo)
	p := ready(t, "--threads 2 --model "+path)
	p.follow()
	const body = `{"prompt":"Once upon a time","max_tokens":40,"temperature":0,"logprobs":2}`
	want, err := postTo(http.DefaultClient, p.url, body)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "cut")
	if err := os.Link(path, link); err != nil { // the mapped file, when path is another's
		t.Skip(err)
	}
	write("new", make([]byte, len(demo)))
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Fatal(err)
	}
	if got, err := postTo(http.DefaultClient, p.url, body); err != nil || got != want {
		t.Errorf("replaced: %.100s (%v), want %.100s", got, err, want)
	}
	if err := os.Truncate(link, 4096); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := postTo(http.DefaultClient, p.url, body); err == nil || !strings.HasPrefix(err.Error(), "500 ") || !strings.Contains(err.Error(), "internal_error") {
			t.Errorf("cut off: %.100s (%v), want a 500 with error JSON", got, err)
		}
	}
	if resp, err := http.Get(p.url + "/v1/models"); err != nil || resp.StatusCode != 200 {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}
